"""Fails the run when a room that decides about money is not tested enough (`-p tests.coverage_gate`).

`make test` loads it beside pytest-cov. A plugin and not a command that runs afterwards, so that the
closing line stays pytest's; room by room, so that a good one cannot hide a bad one.
"""

from __future__ import annotations

import io

import pytest
from coverage import Coverage
from coverage.exceptions import CoverageException

GATED_ROOMS = ("gateway", "payments")
LEAST_PERCENT = 95.0

_percents = pytest.StashKey[dict[str, float]]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return  # a worker of pytest-xdist knows its own share only
    # pytest-cov has combined and saved its data when the run loop ends, before this hook.
    session.config.stash[_percents] = {room: measured_percent(room) for room in GATED_ROOMS}
    if too_low(session.config.stash[_percents]) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    percents = config.stash.get(_percents, {})
    terminalreporter.section(f"statements and branches covered, at least {LEAST_PERCENT:.0f} %")
    for room, percent in percents.items():
        verdict = "TOO LOW" if room in too_low(percents) else "ok"
        terminalreporter.line(f"{room:<12} {percent:6.2f} %  {verdict}")


def too_low(percents: dict[str, float]) -> list[str]:
    """The rooms under the limit."""
    return [room for room, percent in percents.items() if percent < LEAST_PERCENT]


def measured_percent(room: str) -> float:
    """How much of `django_feexpay/<room>` ran, in statements and branches; 0 when not measured."""
    coverage = Coverage()
    try:
        coverage.load()
        return coverage.report(include=[f"*/django_feexpay/{room}/*"], file=io.StringIO())
    except CoverageException:
        return 0.0
