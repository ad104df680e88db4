"""When to poll an attempt next: a pure function of status, age and a random source.

Until the expiry the waits are the host's POLL_SECONDS, then they double up to five minutes, with jitter. Afterwards the
wait grows with the age: minutes, quarter hours, days. An attempt that is still in doubt after a week is polled forever,
at growing intervals.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from django_feexpay.lifecycle import LIVE, Status

#: Waits after a confirmed failure: a few failures turn into a success, and its webhook may be lost.
AFTER_FAILURE_SECONDS = (60, 600, 3600, 86_400)

#: (age up to, longest wait)
_WAIT_BY_AGE = (
    (timedelta(minutes=30), timedelta(minutes=5)),
    (timedelta(hours=24), timedelta(minutes=15)),
    (timedelta.max, timedelta(days=1)),
)
#: A live attempt is polled often for longer than the day after which an unacknowledged attempt is closed.
_LIVE_WAIT_BY_AGE = (_WAIT_BY_AGE[0], (timedelta(hours=30), _WAIT_BY_AGE[1][1]), _WAIT_BY_AGE[2])
_JITTER = 0.2

#: The shortest and the longest wait of a client between two reads, and its wait for a payment under review.
_SOONEST_READ_SECONDS, _LATEST_READ_SECONDS, _REVIEW_READ_SECONDS = 2, 10, 60
_A_WEEK = timedelta(days=7)

#: After a week, EXPIRED and REVIEW wait a seventh of their age: a day at first, a week after seven weeks, seven weeks
#: after a year. One attempt costs about thirty polls in that year.
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
    random_source: random.Random,
) -> datetime | None:
    """When to poll an attempt in `status` after `polls` polls; None: never again.

    Before the expiry, not later than `expires_at`, so that the payer learns of the expiry on time.
    """
    if status in (Status.SUCCESSFUL, Status.REJECTED):
        return None
    if status is Status.FAILED:
        failed_at = min(settled_at or now, now)  # a clock that ran ahead may have written a time in the future
        times = (failed_at + timedelta(seconds=seconds) for seconds in AFTER_FAILURE_SECONDS)
        return next((at for at in times if at > now), None)
    if now < expires_at:
        return min(now + _listed_wait(polls, poll_seconds, random_source), expires_at)
    if status in LIVE and polls < len(poll_seconds):
        # Sent after its expiry, or its sender died: the payer is waiting now.
        return now + _listed_wait(polls, poll_seconds, random_source)
    return now + longest_wait(status, now - created_at) * random_source.uniform(1 - _JITTER, 1)


def seconds_until_next_read(status: Status, next_poll_at: datetime | None, now: datetime) -> int:
    """When a client should read an unsettled payment again (`next_poll_seconds`): soon after the next poll."""
    if status is Status.REVIEW:
        return _REVIEW_READ_SECONDS
    if next_poll_at is None:
        return _LATEST_READ_SECONDS
    wait = math.ceil((next_poll_at - now).total_seconds())
    return max(_SOONEST_READ_SECONDS, min(wait, _LATEST_READ_SECONDS))


def longest_wait(status: Status, age: timedelta) -> timedelta:
    """The longest wait between two polls of an unsettled attempt of that age, after its expiry."""
    if age > _A_WEEK and status not in LIVE:
        return age / _SHARE_OF_AGE
    return next(wait for limit, wait in (_LIVE_WAIT_BY_AGE if status in LIVE else _WAIT_BY_AGE) if age <= limit)


def longest_waits(poll_seconds: Sequence[int], *, live: bool) -> list[tuple[timedelta, timedelta]]:
    """(age up to, longest possible wait): a poll of an unsettled attempt planned later than this is a clock error."""
    listed = timedelta(seconds=max(poll_seconds))
    steps = list(_LIVE_WAIT_BY_AGE)
    if not live:
        weeks = [_A_WEEK * 2**doubled for doubled in range(10)]
        steps = [*_WAIT_BY_AGE[:-1], *((age, max(age / _SHARE_OF_AGE, _WAIT_BY_AGE[-1][1])) for age in weeks)]
    return [(age, max(wait, listed)) for age, wait in steps]


def _listed_wait(polls: int, poll_seconds: Sequence[int], random_source: random.Random) -> timedelta:
    if polls < len(poll_seconds):
        return timedelta(seconds=poll_seconds[polls])
    doublings = min(polls - len(poll_seconds) + 1, 16)
    wait = timedelta(seconds=poll_seconds[-1] * 2**doublings)
    return min(wait, _WAIT_BY_AGE[0][1]) * random_source.uniform(1 - _JITTER, 1)
