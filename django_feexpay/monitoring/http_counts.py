"""Counts of our answers by minute, which all web processes share, for the facts about slow and failing answers.

They lie in a cache that counts; without one they are not kept, and these facts are not known. Each process writes at
most once a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django_feexpay import cache_state, conf
from django_feexpay.counters import cache_counts
from django_feexpay.tally import Tally

ANSWERS, SLOW, ERRORS = "answers", "slow", "errors"
WEBHOOKS, WEBHOOKS_REFUSED, WEBHOOKS_REJECTED = "webhooks", "webhooks_refused", "webhooks_rejected"
_KINDS = (ANSWERS, SLOW, ERRORS, WEBHOOKS, WEBHOOKS_REFUSED, WEBHOOKS_REJECTED)

SLOW_SECONDS = 2.0
#: As long as the longest MONITOR_WINDOW_MINUTES.
_KEPT_SECONDS = 25 * 3600


def note(route: str, status: int, seconds: float) -> None:
    """Count one answer. Never raises."""
    if not cache_counts():
        return
    minute = int(conf.now().timestamp()) // 60
    _tally.note(*(f"http:{minute}:{kind}" for kind in _kinds(route, status, seconds)))


def _kinds(route: str, status: int, seconds: float) -> list[str]:
    kinds = [ANSWERS]
    if seconds > SLOW_SECONDS:
        kinds.append(SLOW)
    if status >= 500:
        kinds.append(ERRORS)
    if route.startswith("webhook"):
        kinds.append(WEBHOOKS)
        if status >= 400:
            kinds.append(WEBHOOKS_REFUSED)
        if status == 401:
            kinds.append(WEBHOOKS_REJECTED)
    return kinds


def read(now: datetime, window: timedelta) -> Mapping[str, int]:
    """The counts of the whole minutes in the window, this minute included, by kind."""
    _tally.flush()
    last = int(now.timestamp()) // 60
    minutes = range(last, last - int(window.total_seconds()) // 60, -1)
    found = cache_state.read([f"http:{minute}:{kind}" for minute in minutes for kind in _KINDS])
    return {kind: sum(found.get(f"http:{minute}:{kind}", 0) for minute in minutes) for kind in _KINDS}


def forget_pending() -> None:
    """Forget the counts of this process that were not written yet, for tests."""
    _tally.clear()


def _write(name: str, number: int) -> None:
    cache_state.count_up(name, _KEPT_SECONDS, number)


_tally = Tally(_write)
