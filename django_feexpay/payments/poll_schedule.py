"""When to ask again. Pure: a status, two instants and a dice in, an instant out.

While the payer is expected, the host's POLL_SECONDS are the waits, then they double up to five minutes with jitter.
Afterwards the pace follows the age: minutes, quarter hours, days. What FeexPay or a person has not decided is asked
about for ever, after a week ever more slowly.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from django_feexpay.lifecycle import LIVE, Status

#: Waits after a failure the gateway confirmed: some turn into a success, and a webhook may be lost.
AFTER_FAILURE_SECONDS = (60, 600, 3600, 86_400)

#: (age up to, longest wait): how patience grows with age.
_PATIENCE = (
    (timedelta(minutes=30), timedelta(minutes=5)),
    (timedelta(hours=24), timedelta(minutes=15)),
    (timedelta.max, timedelta(days=1)),
)
#: What may still be charged is asked about often past the day on which an unacknowledged attempt is closed.
_PATIENCE_WITH_LIVE = (_PATIENCE[0], (timedelta(hours=30), _PATIENCE[1][1]), _PATIENCE[2])
_JITTER = 0.2
_A_WEEK = timedelta(days=7)

#: Older than a week, EXPIRED and REVIEW wait a seventh of their age: daily at first, weekly after seven weeks, every
#: seven weeks after a year. One attempt costs about thirty questions in that year.
_SHARE_OF_AGE = 7


def next_poll_time(
    status: Status,
    *,
    now: datetime,
    created_at: datetime,
    expires_at: datetime,
    polls: int,
    settled_at: datetime | None,
    poll_seconds: Sequence[int],
    dice: random.Random,
) -> datetime | None:
    """When to look next at an attempt in `status` that was looked at `polls` times; None: never again.

    While we expect the payer, never later than `expires_at`, so that expiry is told on time.
    """
    if status in (Status.SUCCESSFUL, Status.REJECTED):
        return None
    if status is Status.FAILED:
        return _after_failure(now, settled_at or now)
    if now < expires_at:
        return min(now + _listed_wait(polls, poll_seconds, dice), expires_at)
    if status in LIVE and polls < len(poll_seconds):
        return now + _listed_wait(polls, poll_seconds, dice)  # sent late, or lost late: its payer waits, too
    return now + longest_wait(status, now - created_at) * dice.uniform(1 - _JITTER, 1)


def longest_wait(status: Status, age: timedelta) -> timedelta:
    """The longest wait between two polls at an attempt of that age that is not decided yet, its expiry being over."""
    if age > _A_WEEK and status not in LIVE:
        return age / _SHARE_OF_AGE
    return next(wait for limit, wait in (_PATIENCE_WITH_LIVE if status in LIVE else _PATIENCE) if age <= limit)


def longest_waits(poll_seconds: Sequence[int], *, live: bool) -> list[tuple[timedelta, timedelta]]:
    """(age up to, the longest wait there may be): no next look of an attempt that is not failed lies farther ahead."""
    listed = timedelta(seconds=max(poll_seconds))
    steps = list(_PATIENCE_WITH_LIVE)
    if not live:
        weeks = [_A_WEEK * 2**doubled for doubled in range(10)]
        steps = [*_PATIENCE[:-1], *((age, max(age / _SHARE_OF_AGE, _PATIENCE[-1][1])) for age in weeks)]
    return [(age, max(wait, listed)) for age, wait in steps]


def _listed_wait(polls: int, poll_seconds: Sequence[int], dice: random.Random) -> timedelta:
    if polls < len(poll_seconds):
        return timedelta(seconds=poll_seconds[polls])
    doublings = min(polls - len(poll_seconds) + 1, 16)
    wait = timedelta(seconds=poll_seconds[-1] * 2**doublings)
    return min(wait, _PATIENCE[0][1]) * dice.uniform(1 - _JITTER, 1)


def _after_failure(now: datetime, settled_at: datetime) -> datetime | None:
    since = min(settled_at, now)  # by a clock that was ahead it may have failed in the future
    polls = (since + timedelta(seconds=seconds) for seconds in AFTER_FAILURE_SECONDS)
    return next((look for look in polls if look > now), None)
