"""How many payments each day has, and at what time of the day they start."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.utils import timezone

DAYS = 365

#: The newest made-up payment is at least this old, so that each had time to end.
NEWEST = timedelta(minutes=40)

#: By weekday from Monday: people pay on Friday evening and on Saturday.
_WEEKDAYS = (0.86, 0.84, 0.9, 0.96, 1.22, 1.3, 0.92)
#: By hour of the shop's time zone: a small peak at noon, a large one in the evening.
_HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 10, 12, 14, 12, 9, 9, 10, 13, 17, 21, 22, 17, 10, 5)
#: Wages are paid in the last days of a month.
_PAYDAYS, _PAYDAY_FACTOR = (25, 3), 1.25
#: The last day has this many times the payments of the first one.
_GROWTH = 2.6


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the shop's time zone, with the start of each payment in order."""

    day: date
    starts: list[datetime]


def year(count: int, now: datetime, chance: random.Random) -> Iterator[Day]:
    """The last 365 days with `count` payments in all, oldest first."""
    today = now.astimezone(timezone.get_default_timezone()).date()
    days = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    weights = [_weight(day, position, now, chance) for position, day in enumerate(days)]
    left, weight_left = count, sum(weights)
    for day, weight in zip(days, weights, strict=True):
        share = min(left, round(left * weight / weight_left)) if weight_left > 0 else left
        left, weight_left = left - share, weight_left - weight
        yield Day(day, sorted(_start(day, now, chance) for _ in range(share)))


def _weight(day: date, position: int, now: datetime, chance: random.Random) -> float:
    last, first = _PAYDAYS
    factor = _PAYDAY_FACTOR if day.day >= last or day.day <= first else 1.0
    growth = 1 + (_GROWTH - 1) * position / DAYS
    return growth * factor * _WEEKDAYS[day.weekday()] * chance.uniform(0.9, 1.1) * _share_over(day, now)


def _share_over(day: date, now: datetime) -> float:
    """The share of the day's payments that had time to end: 1, but for the last day."""
    hours_over = (now - NEWEST - _at(day, 0)).total_seconds() / 3600
    whole = max(0, min(24, int(hours_over)))
    part = _HOURS[whole] * (hours_over - whole) if 0 <= hours_over < 24 else 0
    return (sum(_HOURS[:whole]) + part) / sum(_HOURS)


def _start(day: date, now: datetime, chance: random.Random) -> datetime:
    while True:
        hour = chance.choices(range(24), _HOURS)[0]
        at = _at(day, hour) + timedelta(seconds=chance.uniform(0, 3600))
        if at <= now - NEWEST:
            return at


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), timezone.get_default_timezone())
