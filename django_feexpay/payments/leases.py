"""Whose turn it is, and who polls: leases on attempts.

A claim pushes `next_poll_at` behind the longest call plus a margin. Who claimed writes the next look only if that
lease still stands; a webhook that pulled it forward meanwhile keeps its word. A claimer that dies changes nothing:
the lease ends and the row is due again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, DateTimeField, F, Q, Value, When

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt
from django_feexpay.payments.durability import durable
from django_feexpay.payments.poll_schedule import AFTER_FAILURE_SECONDS, longest_waits, next_poll_time

#: Total deadline of a call plus a margin; a synchronous provider answers only when its payer has.
LEASE = timedelta(seconds=45)
SYNCHRONOUS_SECONDS = 120.0
SYNCHRONOUS_LEASE = timedelta(seconds=150)

#: At most one look per payment in this time, however many webhooks ask for one.
SHORTEST_PAUSE = timedelta(seconds=3)

#: The same for a payment that is credited: its payer waits for nothing. Shorter than a lease, so that what a webhook
#: tells during a look brings another one.
PAUSE_AFTER_CREDIT = timedelta(seconds=30)

#: FeexPay did not answer a question about a credited payment.
AGAIN_AFTER_CREDIT = timedelta(minutes=15)

#: A claim given back is looked at again by then, however long FeexPay asked to be left alone: no look lies so far
#: ahead that a wrong clock could not be told from it.
LONGEST_RELEASE = timedelta(minutes=5)

#: Above the longest wait: the lease of who polls, and the clocks.
_MARGIN = LEASE + conf.CLOCK_SLACK

#: What has no next look is searched for among the payments of these days.
_RECENT = timedelta(days=7)

_dice = random.SystemRandom()

#: Called after each commit that made an attempt due earlier: a cluster enqueues its sweep task then.
due_listeners: list[Callable[[], None]] = []


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to look at one attempt until `lease`. `status`: as it was when it was taken."""

    attempt_id: UUID
    lease: datetime
    status: Status


def claim_due(limit: int, *, unsent: bool, live: bool | None = None) -> list[Claim]:
    """Take the attempts that have been due longest, at most `limit`; no other caller gets them.

    `unsent`: those that wait to be sent, else those to be asked about. Of these, `live`: those whose payer waits, or
    only the settled ones; None: both, the live ones first, so that news about the past delays no payment of now.
    Changes: `next_poll_at`, `last_polled_at` of the taken rows. Safe to repeat: yes.
    """
    waits = Q(status__in=sorted(LIVE - {Status.CREATED}))
    kinds = {True: [waits], False: [~Q(status__in=sorted(LIVE))], None: [waits, ~Q(status__in=sorted(LIVE))]}
    taken: list[Claim] = []
    for kind in [Q(status=Status.CREATED)] if unsent else kinds[live]:
        taken += _claim_kind(kind, limit - len(taken))
    return taken


def _claim_kind(kind: Q, limit: int) -> list[Claim]:
    if limit <= 0:
        return []
    now = conf.now()
    due = Attempt.objects.filter(kind, next_poll_at__lte=now).order_by("next_poll_at")
    if not connection.features.has_select_for_update_skip_locked:
        claims = (claim(attempt, now) for attempt in list(due.only("status", "next_poll_at")[:limit]))
        return [taken for taken in claims if taken is not None]
    with durable():
        rows = list(due.select_for_update(skip_locked=True).values_list("pk", "status")[:limit])
        taken = Attempt.objects.filter(pk__in=[pk for pk, _ in rows])
        taken.update(next_poll_at=now + LEASE, last_polled_at=now)
    return [Claim(pk, now + LEASE, Status(status)) for pk, status in rows]


def claim(attempt: Attempt, now: datetime) -> Claim | None:
    """Take one attempt, if `next_poll_at` still stands as it was read; None when somebody else was quicker."""
    lease = now + LEASE
    rows = Attempt.objects.filter(pk=attempt.pk, next_poll_at=attempt.next_poll_at)
    taken = rows.update(next_poll_at=lease, last_polled_at=now)
    return Claim(attempt.pk, lease, attempt.life_status) if taken else None


def schedule(attempt: Attempt, *, no_later_than: datetime | None = None, **looked: Any) -> None:
    """Count one look that moved nothing, and write the next `unless_changed`; `looked`: other columns it changed.

    no_later_than: look again by then, also where the schedule knows no next look.
    """
    next_poll_at = next_poll(attempt, attempt.life_status, polls=attempt.poll_count + 1)
    if no_later_than is not None:
        next_poll_at = min(next_poll_at or no_later_than, no_later_than)
    rows = Attempt.objects.filter(pk=attempt.pk, status=attempt.status)
    rows.update(poll_count=F("poll_count") + 1, next_poll_at=unless_changed(attempt, next_poll_at), **looked)


def release(held: Claim, next_poll_at: datetime | None) -> None:
    """Give a claim back without having looked: due again then (None: never), unless somebody else took it or
    hastened it.

    Changes: `next_poll_at`. Safe to repeat: yes.
    """
    Attempt.objects.filter(pk=held.attempt_id, next_poll_at=held.lease).update(next_poll_at=next_poll_at)


def call_due_listeners() -> None:
    """Call `due_listeners` once the surrounding transaction is committed, or now if there is none."""
    for listener in due_listeners:
        transaction.on_commit(listener, robust=True)


def unless_changed(attempt: Attempt, next_poll_at: datetime | None) -> Case:
    """To write `next_poll_at` only where it still is what was read with the attempt: else a webhook pulled it
    forward while FeexPay was asked, or somebody else took it, and theirs is the newer word.
    """
    seen = attempt.next_poll_at
    unchanged = Q(next_poll_at__isnull=True) if seen is None else Q(next_poll_at=seen)
    return Case(When(unchanged, then=Value(next_poll_at, DateTimeField())), default=F("next_poll_at"))


def next_poll(attempt: Attempt, status: Status, *, polls: int = 0) -> datetime | None:
    """`poll_schedule.next_poll_time` for an attempt that is, or is about to be, in `status`, by the host's settings.

    A refusal that no source names is asked about like a failure.
    """
    now = conf.now()
    if status is Status.SUCCESSFUL:
        return _poll_after_credit_at(attempt, now)
    settled_at = attempt.settled_at if status is attempt.life_status else None
    if status is Status.REJECTED and attempt.is_doubtful_refusal:
        status = Status.FAILED
    return next_poll_time(
        status,
        now=now,
        created_at=attempt.created_at,
        expires_at=attempt.expires_at,
        polls=polls,
        settled_at=settled_at,
        poll_seconds=feexpay.poll_seconds,
        dice=_dice,
    )


def _poll_after_credit_at(attempt: Attempt, now: datetime) -> datetime | None:
    """A page may be paid again until it closes: then it is looked at once. Any other is looked at when a webhook or
    the nightly comparison gives cause.
    """
    closed_at = attempt.expires_at + PAUSE_AFTER_CREDIT
    return closed_at if attempt.sought_by_echo and now < closed_at else None


def make_due_now(attempt: Attempt, *, not_before: datetime | None = None) -> None:
    """Make an attempt due now, or as soon as the shortest pause and `not_before` allow; never later than it already is.

    Changes: `next_poll_at`, unless the attempt is credited or on its way out (its lease must stand).
    Safe to repeat: yes.
    """
    if attempt.life_status in (Status.SENDING, Status.SUCCESSFUL):
        return
    earliest = _no_earlier_than(attempt, SHORTEST_PAUSE)
    movable = ~Q(status__in=[Status.SENDING, Status.SUCCESSFUL])
    _pull_forward(attempt, movable, earliest if not_before is None else max(not_before, earliest))


def make_credited_due_now(attempt: Attempt, *, at: datetime | None = None) -> None:
    """Make a credited attempt due, now or at a given time: FeexPay may have taken the money back, or taken it twice.
    At most one look in PAUSE_AFTER_CREDIT; never later than it already is.

    Changes: `next_poll_at` of a credited attempt. Safe to repeat: yes.
    """
    earliest = _no_earlier_than(attempt, PAUSE_AFTER_CREDIT)
    _pull_forward(attempt, Q(status=Status.SUCCESSFUL), earliest if at is None else max(at, earliest))


def _no_earlier_than(attempt: Attempt, pause: timedelta) -> datetime:
    """After the pause. A last look that lies in the future is by a clock that was ahead: no webhook waits for that."""
    now = conf.now()
    return now if attempt.last_polled_at is None else min(max(now, attempt.last_polled_at + pause), now + pause)


def _pull_forward(attempt: Attempt, movable: Q, at: datetime) -> None:
    later = Q(next_poll_at__isnull=True) | Q(next_poll_at__gt=at)
    if Attempt.objects.filter(later, movable, pk=attempt.pk).update(next_poll_at=at):
        call_due_listeners()


def ask_credited_again(attempt: Attempt) -> None:
    """FeexPay did not answer a question about a credited attempt: ask it again in AGAIN_AFTER_CREDIT.

    Changes: `next_poll_at`, unless somebody else changed it meanwhile. Safe to repeat: yes.
    """
    again = unless_changed(attempt, conf.now() + AGAIN_AFTER_CREDIT)
    Attempt.objects.filter(pk=attempt.pk, status=Status.SUCCESSFUL).update(next_poll_at=again)


# --- clocks ------------------------------------------------------------------------------------------


def correct_schedule() -> int:
    """Make due what was put off too far, or given up, by a clock that was ahead for a while; how many attempts.

    Changes: `next_poll_at`. Safe to repeat: yes; under a wrong clock it only brings polls forward.
    """
    now = conf.now()
    wrong = (Attempt.objects.filter(which) for which in (put_off_too_far(now), given_up_too_early(now)))
    return sum(attempts.update(next_poll_at=now) for attempts in wrong)


def put_off_too_far(now: datetime) -> Q:
    """Attempts whose next look lies farther ahead than one of that status and age may."""
    undecided = _beyond(now, sorted(LIVE), live=True) | _beyond(now, [Status.EXPIRED, Status.REVIEW], live=False)
    last = timedelta(seconds=AFTER_FAILURE_SECONDS[-1])
    failed_later = Q(next_poll_at__gt=now + last + _MARGIN) | Q(settled_at__gt=now + _MARGIN)
    failed = Q(status__in=[Status.FAILED, Status.REJECTED], next_poll_at__gt=now) & failed_later
    # Webhooks about credited attempts may have to wait long for their turn (`webhook_pace`).
    after_credit = max(feexpay.expiry + PAUSE_AFTER_CREDIT, timedelta(days=1))
    credited = Q(status=Status.SUCCESSFUL, next_poll_at__gt=now + after_credit + _MARGIN)
    return undecided | failed | credited


def _beyond(now: datetime, statuses: Sequence[str], *, live: bool) -> Q:
    beyond = Q()
    for age, wait in longest_waits(feexpay.poll_seconds, live=live):
        young = Q() if age == timedelta.max else Q(created_at__gt=now - age)
        beyond |= young & Q(next_poll_at__gt=now + wait + _MARGIN)
    return Q(status__in=statuses) & beyond


def given_up_too_early(now: datetime) -> Q:
    """Attempts that may be charged and were made within the last days, but have no next look."""
    open_ones = [Status.PENDING, Status.UNKNOWN, Status.EXPIRED, Status.REVIEW]
    of_these_days = Q(payment__status__in=open_ones, payment__created_at__gt=now - _RECENT)  # by the payments' index
    return of_these_days & Q(status__in=open_ones, sent_at__isnull=False, next_poll_at=None)
