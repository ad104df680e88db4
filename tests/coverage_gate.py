"""Fails the run if the coverage of `gateway` or `payments` is too low (`-p tests.coverage_gate`).

It is a pytest plugin and not a command that runs afterwards, so that pytest prints the last line. Each package must
reach the limit by itself, and by the tests of MEASURED alone: measuring a test takes half its time again. The
slowest of them are marked `unmeasured`.
"""

from __future__ import annotations

import io
from collections.abc import Generator

import pytest
from coverage import Coverage
from coverage.exceptions import CoverageException

GATED_PACKAGES = ("gateway", "payments")
LEAST_PERCENT = 95.0

#: The folders whose tests are measured.
MEASURED = ("tests/payments/", "tests/gateway/", "tests/webhooks/", "tests/admin/")

_percents = pytest.StashKey[dict[str, float]]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if item.nodeid.startswith(MEASURED) and item.get_closest_marker("unmeasured") is None:
        return (yield)
    # A worker of pytest-xdist has two: pytest-cov also starts the one of the main process there.
    paused = []
    while (coverage := Coverage.current()) is not None:
        coverage.stop()
        paused.append(coverage)
    try:
        return (yield)
    finally:
        for coverage in reversed(paused):
            coverage.start()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return  # a worker of pytest-xdist runs only a part of the tests
    # pytest-cov combines and saves its data before this hook.
    session.config.stash[_percents] = {package: measured_percent(package) for package in GATED_PACKAGES}
    if too_low(session.config.stash[_percents]) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    percents = config.stash.get(_percents, {})
    terminalreporter.section(f"statements and branches covered, at least {LEAST_PERCENT:.0f} %")
    for package, percent in percents.items():
        verdict = "TOO LOW" if package in too_low(percents) else "ok"
        terminalreporter.line(f"{package:<12} {percent:6.2f} %  {verdict}")


def too_low(percents: dict[str, float]) -> list[str]:
    return [package for package, percent in percents.items() if percent < LEAST_PERCENT]


def measured_percent(package: str) -> float:
    """The coverage of `django_feexpay/<package>` in statements and branches; 0 if it was not measured."""
    coverage = Coverage()
    try:
        coverage.load()
        return coverage.report(include=[f"*/django_feexpay/{package}/*"], file=io.StringIO())
    except CoverageException:
        return 0.0
