"""Rate limit of the polls that webhooks cause: per user, and in total for settled attempts.

Without a webhook credential a payer can post about their own payments as often as they like. A poll above a limit is
delayed, not refused: each limit is a queue with some seconds between two polls. The queues are in the cache. Without a
cache, only the worker's few threads for settled attempts limit these polls.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django_feexpay import cache_state, conf
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt
from django_feexpay.payments import leases


@dataclass(frozen=True, slots=True)
class Pace:
    """`at_once` polls without a wait, then one every `seconds_apart`."""

    at_once: int
    seconds_apart: float


#: A payer has one or two live payments; a cashier's account has many.
LIVE_OF_USER = Pace(at_once=60, seconds_apart=0.5)
#: FeexPay rarely changes a settled payment.
SETTLED_OF_USER = Pace(at_once=5, seconds_apart=10)
SETTLED_OF_ALL = Pace(at_once=30, seconds_apart=1)


def make_due_now(attempt: Attempt, user_id: Any) -> None:
    """Make an attempt due as soon as the limits of its user and of all users allow; never later than it already is.

    Changes: `next_poll_at`, as `leases.make_due_now` or, once it is credited, `leases.make_credited_due_now`. Safe to
    repeat: yes; an attempt that is due soon enough takes no place in a queue.
    """
    if attempt.life_status is Status.SENDING:
        return
    at = now = conf.now().timestamp()
    for name, pace in _queues(attempt, user_id).items():
        free_at = cache_state.read((name,)).get(name, 0.0)
        end = max(free_at, now) + pace.seconds_apart
        at = max(at, end - pace.at_once * pace.seconds_apart)
        if attempt.next_poll_at is not None and attempt.next_poll_at.timestamp() <= at:
            return
        cache_state.put(name, end, end - now)
        if at > now:  # delayed by its user's queue, it takes no place in the queue of all users
            break
    soon = conf.now() + timedelta(seconds=at - now)
    if attempt.life_status is Status.SUCCESSFUL:
        leases.make_credited_due_now(attempt, at=soon)
    else:
        leases.make_due_now(attempt, not_before=soon)


def _queues(attempt: Attempt, user_id: Any) -> dict[str, Pace]:
    live = attempt.life_status in LIVE
    queues = {} if live else {"webhooks:settled": SETTLED_OF_ALL}
    if user_id is None:
        return queues
    own = {f"webhooks:{'live' if live else 'settled'}:{user_id}": LIVE_OF_USER if live else SETTLED_OF_USER}
    return own | queues
