"""The values of settings as people write them, in Python or as the text of an environment variable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from datetime import time as clock_time
from typing import Any

_UNITS: Mapping[str, timedelta] = {"h": timedelta(hours=1), "d": timedelta(days=1), "y": timedelta(days=365.25)}
_PERIODS: Mapping[str, int] = {"s": 1, "min": 60, "hour": 3600, "day": 86_400}


def as_list(value: str | Iterable[Any]) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return [str(part).strip() for part in parts if str(part).strip()]


def as_rate(written: Any) -> tuple[int, int]:
    """`100/min` as (requests, seconds). Raises: ValueError."""
    count, _, period = str(written).strip().partition("/")
    if period not in _PERIODS or not count.isdecimal() or int(count) < 1:
        raise ValueError("a rate is a count and a period")
    return int(count), _PERIODS[period]


def as_seconds(value: Any) -> timedelta:
    return timedelta(seconds=int(value))


def as_pairs(value: str | Mapping[str, Any] | Iterable[Any]) -> dict[str, str]:
    """A dict, or text such as `USD:605.25,numbers:48h`. Raises: ValueError."""
    pairs = value.items() if isinstance(value, Mapping) else (part.split(":") for part in as_list(value))
    return {str(name).strip(): str(written).strip() for name, written in pairs}


def as_time_of_day(value: Any) -> clock_time | None:
    """`02:00`; None for an empty text. Raises: ValueError."""
    written = str(value or "").strip()
    return datetime.strptime(written, "%H:%M").time() if written else None  # noqa: DTZ007 -- a time of day


def as_duration(written: str) -> timedelta:
    """`24h`, `7d` or `10y`. Raises: ValueError."""
    count, unit = written[:-1], written[-1:]
    if unit not in _UNITS or not count.isdecimal():
        raise ValueError("not a number with h, d or y")
    return int(count) * _UNITS[unit]
