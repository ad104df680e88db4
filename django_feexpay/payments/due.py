"""Whose turn it is, and who looks: leases on attempts.

A claim pushes `next_poll_at` behind the longest call plus a margin. Who claimed writes the next look only if that
lease still stands; a webhook that pulled it forward meanwhile keeps its word. A claimer that dies changes nothing:
the lease ends and the row is due again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, DateTimeField, F, Q, Value, When

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.models import Attempt
from django_feexpay.payments.durability import durable
from django_feexpay.payments.lifecycle import Status
from django_feexpay.payments.looks import AFTER_FAILURE_SECONDS, ATTENTION, longest_waits, next_look_at

#: Total deadline of a call plus a margin; a synchronous provider answers only when its payer has.
LEASE = timedelta(seconds=45)
SYNCHRONOUS_SECONDS = 120.0
SYNCHRONOUS_LEASE = timedelta(seconds=150)

#: At most one look per payment in this time, however many webhooks ask for one.
SHORTEST_PAUSE = timedelta(seconds=3)

#: A claim given back is looked at again by then, however long FeexPay asked to be left alone: no look lies so far
#: ahead that a wrong clock could not be told from it.
LONGEST_POSTPONEMENT = timedelta(minutes=5)

#: Above the longest wait: the lease of who looks, and the clocks.
_MARGIN = LEASE + conf.CLOCK_SLACK

_dice = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to look at one attempt until `lease`. `status`: as it was when it was taken."""

    attempt_id: UUID
    lease: datetime
    status: Status


def claim_due(limit: int, *, unsent: bool) -> list[Claim]:
    """Take the attempts that have been due longest, at most `limit`; no other caller gets them.

    `unsent`: those that wait to be sent, else those to be asked about.
    Changes: `next_poll_at`, `last_look_at` of the taken rows. Safe to repeat: yes.
    """
    if limit <= 0:
        return []
    now = conf.now()
    created = Q(status=Status.CREATED)
    due = Attempt.objects.filter(created if unsent else ~created, next_poll_at__lte=now).order_by("next_poll_at")
    if not connection.features.has_select_for_update_skip_locked:
        claims = (claim(attempt, now) for attempt in list(due.only("status", "next_poll_at")[:limit]))
        return [taken for taken in claims if taken is not None]
    with durable():
        rows = list(due.select_for_update(skip_locked=True).values_list("pk", "status")[:limit])
        taken = Attempt.objects.filter(pk__in=[pk for pk, _ in rows])
        taken.update(next_poll_at=now + LEASE, last_look_at=now)
    return [Claim(pk, now + LEASE, Status(status)) for pk, status in rows]


def claim(attempt: Attempt, now: datetime) -> Claim | None:
    """Take one attempt, if `next_poll_at` still stands as it was read; None when somebody else was quicker."""
    lease = now + LEASE
    rows = Attempt.objects.filter(pk=attempt.pk, next_poll_at=attempt.next_poll_at)
    taken = rows.update(next_poll_at=lease, last_look_at=now)
    return Claim(attempt.pk, lease, attempt.life_status) if taken else None


def schedule(attempt: Attempt, **looked: Any) -> None:
    """Count one look that moved nothing, and write the next `unless_changed`; `looked`: other columns it changed."""
    next_poll_at = next_look(attempt, attempt.life_status, looks=attempt.look_count + 1)
    rows = Attempt.objects.filter(pk=attempt.pk, status=attempt.status)
    rows.update(look_count=F("look_count") + 1, next_poll_at=unless_changed(attempt, next_poll_at), **looked)


def postpone(held: Claim, next_poll_at: datetime | None) -> None:
    """Give a claim back without having looked: due again then (None: never), unless somebody else took it or
    hastened it.

    Changes: `next_poll_at`. Safe to repeat: yes.
    """
    Attempt.objects.filter(pk=held.attempt_id, next_poll_at=held.lease).update(next_poll_at=next_poll_at)


def unless_changed(attempt: Attempt, next_poll_at: datetime | None) -> Case:
    """To write `next_poll_at` only where it still is what was read with the attempt: else a webhook pulled it
    forward while FeexPay was asked, or somebody else took it, and theirs is the newer word.
    """
    seen = attempt.next_poll_at
    unchanged = Q(next_poll_at__isnull=True) if seen is None else Q(next_poll_at=seen)
    return Case(When(unchanged, then=Value(next_poll_at, DateTimeField())), default=F("next_poll_at"))


def next_look(attempt: Attempt, status: Status, *, looks: int = 0) -> datetime | None:
    """`looks.next_look_at` for an attempt that is, or is about to be, in `status`, by the host's settings."""
    now = conf.now()
    return next_look_at(
        status,
        now=now,
        created_at=attempt.created_at,
        expires_at=attempt.expires_at,
        looks=looks,
        settled_at=attempt.settled_at if status is attempt.life_status else None,
        poll_seconds=feexpay.poll_seconds,
        dice=_dice,
    )


def hasten(attempt: Attempt) -> None:
    """Make an attempt due now, or as soon as the shortest pause allows; never later than it already is.

    Changes: `next_poll_at`, unless the attempt is credited or on its way out (its lease must stand).
    Safe to repeat: yes.
    """
    if attempt.life_status in (Status.SENDING, Status.SUCCESSFUL):
        return
    at = now = conf.now()
    if (
        attempt.last_look_at is not None
    ):  # by a clock that was ahead it may lie in the future: no webhook waits for that
        at = min(max(now, attempt.last_look_at + SHORTEST_PAUSE), now + SHORTEST_PAUSE)
    later = Q(next_poll_at__isnull=True) | Q(next_poll_at__gt=at)
    movable = ~Q(status__in=[Status.SENDING, Status.SUCCESSFUL])
    Attempt.objects.filter(later, movable, pk=attempt.pk).update(next_poll_at=at)


# --- clocks ------------------------------------------------------------------------------------------


def correct_schedule() -> int:
    """Make due what was put off too far, or given up, by a clock that was ahead for a while; how many attempts.

    Changes: `next_poll_at`. Safe to repeat: yes; under a wrong clock it only brings looks forward.
    """
    now = conf.now()
    wrong = (Attempt.objects.filter(which) for which in (put_off_too_far(now), given_up_too_early(now)))
    return sum(attempts.update(next_poll_at=now) for attempts in wrong)


def put_off_too_far(now: datetime) -> Q:
    """Attempts whose next look lies farther ahead than one of that status and age may."""
    beyond = Q()
    for age, wait in longest_waits(feexpay.poll_seconds):
        young = Q() if age == timedelta.max else Q(created_at__gt=now - age)
        beyond |= young & Q(next_poll_at__gt=now + wait + _MARGIN)
    last = timedelta(seconds=AFTER_FAILURE_SECONDS[-1])
    failed_later = Q(next_poll_at__gt=now + last + _MARGIN) | Q(settled_at__gt=now + _MARGIN)
    failed = Q(status=Status.FAILED, next_poll_at__gt=now) & failed_later
    return failed | (~Q(status=Status.FAILED) & beyond)


def given_up_too_early(now: datetime) -> Q:
    """Attempts that may be charged and were made within the last days, but have no next look."""
    open_ones = [Status.PENDING, Status.UNKNOWN, Status.EXPIRED, Status.REVIEW]
    of_these_days = Q(payment__status__in=open_ones, payment__created_at__gt=now - ATTENTION)  # by the payments' index
    return of_these_days & Q(status__in=open_ones, sent_at__isnull=False, next_poll_at=None)
