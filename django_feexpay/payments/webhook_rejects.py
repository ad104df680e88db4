"""How many webhooks were rejected, by hour. They are not stored, so this count and the log are their only trace."""

from __future__ import annotations

from datetime import datetime, timedelta

from django_feexpay import cache_state
from django_feexpay.counters import cache_counts
from django_feexpay.tally import Tally

_HOURS = 24
_KEPT_SECONDS = (_HOURS + 1) * 3600


def note(now: datetime) -> None:
    """Count one rejected webhook. Never raises."""
    _tally.note(_name(now))


def in_last_day(now: datetime) -> int:
    """The webhooks rejected in the last 24 hours, the current hour included."""
    _tally.flush()
    return sum(cache_state.read(_name(now - timedelta(hours=hour)) for hour in range(_HOURS)).values())


def _name(at: datetime) -> str:
    return f"webhooks:rejected:{int(at.timestamp()) // 3600}"


def _write(name: str, number: int) -> None:
    """Write only into a cache that counts: strangers must not be able to make the database write."""
    if cache_counts():
        cache_state.count_up(name, _KEPT_SECONDS, number)


_tally = Tally(_write)
