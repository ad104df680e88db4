"""Leases on attempts: which worker may poll or send an attempt, and when it is due again.

A claim moves `next_poll_at` past the longest call plus a margin: that is the lease. The worker that holds it writes the
next poll only if the lease is unchanged. If a webhook made the attempt due meanwhile, the webhook's time is newer and
stays. When a worker dies, its lease ends and the attempt is due again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, DateTimeField, F, Q, Value, When

from django_feexpay import conf, isolation
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt, Payment, Payout
from django_feexpay.payments.durability import refuse_outer_atomic
from django_feexpay.payments.poll_schedule import AFTER_FAILURE_SECONDS, longest_waits, next_poll_time

#: Total deadline of a call plus a margin. A synchronous provider answers only after its payer has acted.
LEASE = timedelta(seconds=45)
SYNCHRONOUS_SECONDS = 120.0
SYNCHRONOUS_LEASE = timedelta(seconds=150)

#: At most one poll per attempt in this time, however many webhooks come.
MIN_POLL_GAP = timedelta(seconds=3)

#: The same for a credited attempt: no payer waits. Shorter than a lease, so that a webhook that arrives during a poll
#: causes another poll.
MIN_POLL_GAP_AFTER_CREDIT = timedelta(seconds=30)

#: The wait after a poll of a credited attempt that FeexPay did not answer.
AGAIN_AFTER_CREDIT = timedelta(minutes=15)

#: The longest delay with which a claim is released, even if FeexPay asks for a longer pause. A longer delay would look
#: like a clock error.
MAX_RELEASE_DELAY = timedelta(minutes=5)

#: Allowed above the longest wait: a worker's lease, and differences between clocks.
_MARGIN = LEASE + conf.CLOCK_SLACK

#: Only payments younger than this are searched for attempts without a next poll.
_RECENT = timedelta(days=7)

_random_source = random.SystemRandom()

#: Called after each commit that made an attempt due earlier. A cluster then enqueues its sweep task.
due_listeners: list[Callable[[], None]] = []


#: The kinds of attempts that are claimed separately: to send, to poll while the payer waits, to poll after the end.
_UNSENT = (Status.CREATED,)
_LIVE = tuple(sorted(LIVE - {Status.CREATED}))
_SETTLED = tuple(sorted(set(Status) - LIVE))


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one attempt until `lease`.

    `attempt`: its row as it was claimed, with its payment. `status`: its status then. `due_at`: since when it was due.
    """

    attempt: Attempt
    lease: datetime
    status: Status
    due_at: datetime

    @property
    def attempt_id(self) -> UUID:
        return self.attempt.pk

    @property
    def claimed_at(self) -> datetime:
        return self.lease - LEASE


def claim_due(limit: int, *, unsent: bool, live: bool | None = None) -> list[Claim]:
    """Claim the attempts that have been due longest, at most `limit`; no other caller gets them.

    `unsent`: attempts to send, else attempts to poll. Of those to poll, `live=True`: only live ones, whose payer waits;
    `False`: only settled ones; `None`: both, the live ones first.
    Changes: `next_poll_at`, `last_polled_at` of the claimed rows. Safe to repeat: yes.
    Raises: as `durability.refuse_outer_atomic`.
    """
    kinds = {True: [_LIVE], False: [_SETTLED], None: [_LIVE, _SETTLED]}
    claims: list[Claim] = []
    for statuses in [_UNSENT] if unsent else kinds[live]:
        claims += _claim_kind(statuses, limit - len(claims))
    return claims


def _claim_kind(statuses: Sequence[Status], limit: int) -> list[Claim]:
    if limit <= 0:
        return []
    refuse_outer_atomic()
    now = conf.now()
    if connection.features.has_select_for_update_skip_locked:
        return _claim_together(statuses, limit, now)
    due = Attempt.objects.filter(status__in=statuses, next_poll_at__lte=now).order_by("next_poll_at")
    rows = [(attempt, attempt.next_poll_at) for attempt in due.select_related("payment")[:limit]]
    return [_claimed(attempt, due_at, now) for attempt, due_at in rows if claim(attempt, now)]


#: The due attempts that no other caller is claiming.
DUE = """SELECT id, next_poll_at AS due_at FROM feexpay_attempt
WHERE status = ANY(%(statuses)s) AND next_poll_at <= %(now)s
ORDER BY next_poll_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""
#: One statement that claims and reads: for eight rows, a SELECT and an UPDATE by the ORM take more than twice the CPU.
_CLAIM = f"""
WITH due AS MATERIALIZED ({DUE})
UPDATE feexpay_attempt AS attempt SET next_poll_at = %(lease)s, last_polled_at = %(now)s
FROM due, feexpay_payment AS payment
WHERE attempt.id = due.id AND payment.id = attempt.payment_id
RETURNING attempt.*, due.due_at, {{payment_columns}}
"""  # noqa: S608 -- made of constants
#: What a poll needs of the payment. Other columns are read when they are used.
_PAYMENT_COLUMNS = frozenset(
    {"id", "user_id", "provider_id", "amount", "currency", "charged_amount", "charged_currency", "exchange_rate", "fee"}
)


@cache
def _claim_statement() -> tuple[str, list[str]]:
    """The statement, and the columns of the payment in it, in the order of the model."""
    names = [field.attname for field in Payment._meta.concrete_fields if field.attname in _PAYMENT_COLUMNS]
    return _CLAIM.format(payment_columns=", ".join(f"payment.{name} AS of_payment_{name}" for name in names)), names


def _claim_together(statuses: Sequence[Status], limit: int, now: datetime) -> list[Claim]:
    statement, names = _claim_statement()
    values = {"statuses": [str(status) for status in statuses], "limit": limit, "now": now, "lease": now + LEASE}
    with isolation.read_committed(connection.alias):
        rows: list[Any] = list(Attempt.objects.raw(statement, values))
    for row in rows:
        row.payment = Payment.from_db(connection.alias, names, [getattr(row, f"of_payment_{name}") for name in names])
    return [_claimed(row, row.due_at, now) for row in sorted(rows, key=lambda row: row.due_at)]


def claim(attempt: Attempt, now: datetime) -> bool:
    """Claim one attempt; False if another caller changed its `next_poll_at` since it was read."""
    rows = Attempt.objects.filter(pk=attempt.pk, next_poll_at=attempt.next_poll_at)
    return bool(rows.update(next_poll_at=now + LEASE, last_polled_at=now))


def _claimed(attempt: Attempt, due_at: datetime | None, now: datetime) -> Claim:
    attempt.next_poll_at, attempt.last_polled_at = now + LEASE, now
    return Claim(attempt, now + LEASE, attempt.life_status, due_at or now)


def schedule(attempt: Attempt, *, no_later_than: datetime | None = None, **columns: Any) -> None:
    """Count a poll that moved nothing, and write the next poll (`unless_changed`) and other `columns` of the attempt.

    no_later_than: poll again by then, even if the schedule has no next poll.
    """
    next_poll_at = poll_after_this(attempt)
    if no_later_than is not None:
        next_poll_at = min(next_poll_at or no_later_than, no_later_than)
    write_poll(attempt, next_poll_at, **columns)


def poll_after_this(attempt: Attempt) -> datetime | None:
    return next_poll(attempt, attempt.life_status, polls=attempt.poll_count + 1)


def write_poll(attempt: Attempt, next_poll_at: datetime | None, **columns: Any) -> None:
    rows = Attempt.objects.filter(pk=attempt.pk, status=attempt.status)
    rows.update(poll_count=F("poll_count") + 1, next_poll_at=unless_changed(attempt, next_poll_at), **columns)


def release(held: Claim, next_poll_at: datetime | None) -> None:
    """Give up a claim unused: the attempt is due at `next_poll_at` (None: never), unless another caller changed it.

    Changes: `next_poll_at`. Safe to repeat: yes.
    """
    Attempt.objects.filter(pk=held.attempt_id, next_poll_at=held.lease).update(next_poll_at=next_poll_at)


def unless_changed(row: Attempt | Payout, next_poll_at: datetime | None) -> Case:
    """An expression that writes `next_poll_at` only if the column is as it was read with the row.

    Otherwise a webhook made it due during the poll, or another worker claimed it, and the newer value stays.
    """
    return _written_if(_is_unchanged(row), next_poll_at)


def unless_earlier(row: Attempt, next_poll_at: datetime | None) -> Case:
    """Do as `unless_changed`, for a move: a newer value stays only if it is not later than `next_poll_at`.

    Another poll of the same attempt may have written the wait of the status before the move, or that there is no next
    poll, which is too long for the new status (invariant I19).
    """
    replaced = _is_unchanged(row)
    if next_poll_at is not None:
        replaced |= Q(next_poll_at__isnull=True) | Q(next_poll_at__gt=next_poll_at)
    return _written_if(replaced, next_poll_at)


def _is_unchanged(row: Attempt | Payout) -> Q:
    seen = row.next_poll_at
    return Q(next_poll_at__isnull=True) if seen is None else Q(next_poll_at=seen)


def _written_if(condition: Q, next_poll_at: datetime | None) -> Case:
    return Case(When(condition, then=Value(next_poll_at, DateTimeField())), default=F("next_poll_at"))


def next_poll(attempt: Attempt, status: Status, *, polls: int = 0) -> datetime | None:
    """When to poll an attempt that is, or will be, in `status`; None: never. A doubtful refusal counts as a failure."""
    now = conf.now()
    if status is Status.SUCCESSFUL:
        # A hosted page may be paid again until it closes: poll it once then. Other credited attempts are polled when a
        # webhook or the nightly comparison gives cause.
        closed_at = attempt.expires_at + MIN_POLL_GAP_AFTER_CREDIT
        return closed_at if attempt.sought_by_echo and now < closed_at else None
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
        random_source=_random_source,
    )


#: A statement of its own, because each webhook runs it: building it with the ORM took an eighth of a webhook's time.
_MAKE_DUE = """
UPDATE feexpay_attempt SET next_poll_at = %(at)s
WHERE id = %(id)s AND (next_poll_at IS NULL OR next_poll_at > %(at)s)
    AND status <> %(sending)s AND (status = %(successful)s) = %(credited)s
"""


def make_due_now(attempt: Attempt, *, not_before: datetime | None = None) -> None:
    """Make an attempt due now, or as soon as MIN_POLL_GAP and `not_before` allow; never later than it already is.

    Changes: `next_poll_at`, unless the attempt is credited or being sent (its lease must stay).
    Safe to repeat: yes.
    """
    if attempt.life_status in (Status.SENDING, Status.SUCCESSFUL):
        return
    earliest = _earliest(attempt, MIN_POLL_GAP)
    _make_due(attempt, earliest if not_before is None else max(not_before, earliest), credited=False)


def make_credited_due_now(attempt: Attempt, *, at: datetime | None = None) -> None:
    """Make a credited attempt due, now or `at`: FeexPay may have reversed it, or charged the payer twice.

    At most one poll in MIN_POLL_GAP_AFTER_CREDIT; never later than it already is.
    Changes: `next_poll_at` of a credited attempt. Safe to repeat: yes.
    """
    earliest = _earliest(attempt, MIN_POLL_GAP_AFTER_CREDIT)
    _make_due(attempt, earliest if at is None else max(at, earliest), credited=True)


def _earliest(attempt: Attempt, gap: timedelta) -> datetime:
    """`gap` after the last poll, but at most `gap` from now: a wrong clock may have written a future time."""
    now = conf.now()
    return now if attempt.last_polled_at is None else min(max(now, attempt.last_polled_at + gap), now + gap)


def _make_due(attempt: Attempt, at: datetime, *, credited: bool) -> None:
    values = {
        "id": Attempt._meta.pk.get_db_prep_value(attempt.pk, connection),
        "at": connection.ops.adapt_datetimefield_value(at),
        "sending": Status.SENDING.value,
        "successful": Status.SUCCESSFUL.value,
        "credited": credited,
    }
    with isolation.read_committed(connection.alias), connection.cursor() as cursor:
        cursor.execute(_MAKE_DUE, values)
        if cursor.rowcount:
            call_due_listeners()


def call_due_listeners() -> None:
    """Call `due_listeners` once the surrounding transaction is committed, or now if there is none."""
    for listener in due_listeners:
        transaction.on_commit(listener, robust=True)


def ask_credited_again(attempt: Attempt) -> None:
    """Poll a credited attempt again in AGAIN_AFTER_CREDIT, because FeexPay did not answer.

    Changes: `next_poll_at`, unless another caller changed it meanwhile. Safe to repeat: yes.
    """
    again = unless_changed(attempt, conf.now() + AGAIN_AFTER_CREDIT)
    Attempt.objects.filter(pk=attempt.pk, status=Status.SUCCESSFUL).update(next_poll_at=again)


# --- clock errors ------------------------------------------------------------------------------------


def correct_schedule() -> int:
    """Make due every attempt that a clock running ahead scheduled too late or not at all; return how many.

    A live one that such a clock started expires after the usual time from now.
    Changes: `next_poll_at`, `expires_at`. Safe to repeat: yes; under a wrong clock it only polls too early.
    """
    now = conf.now()
    of_the_future = Attempt.objects.filter(status__in=sorted(LIVE), created_at__gt=now + conf.CLOCK_SLACK)
    of_the_future.filter(expires_at__gt=now + feexpay.expiry + _MARGIN).update(expires_at=now + feexpay.expiry)
    wrong = (Attempt.objects.filter(which) for which in (scheduled_too_late(now), missing_next_poll(now)))
    return sum(attempts.update(next_poll_at=now) for attempts in wrong)


def scheduled_too_late(now: datetime) -> Q:
    """Attempts whose next poll is later than the schedule allows for their status and age."""
    undecided = _later_than_allowed(now, sorted(LIVE), live=True)
    undecided |= _later_than_allowed(now, [Status.EXPIRED, Status.REVIEW], live=False)
    last = timedelta(seconds=AFTER_FAILURE_SECONDS[-1])
    failed_later = Q(next_poll_at__gt=now + last + _MARGIN) | Q(settled_at__gt=now + _MARGIN)
    failed = Q(status__in=[Status.FAILED, Status.REJECTED], next_poll_at__gt=now) & failed_later
    # Polls caused by webhooks about credited attempts may wait long in their queue (`webhook_pace`).
    after_credit = max(feexpay.expiry + MIN_POLL_GAP_AFTER_CREDIT, timedelta(days=1))
    credited = Q(status=Status.SUCCESSFUL, next_poll_at__gt=now + after_credit + _MARGIN)
    return undecided | failed | credited


def _later_than_allowed(now: datetime, statuses: Sequence[str], *, live: bool) -> Q:
    later = Q()
    for age, wait in longest_waits(feexpay.poll_seconds, live=live):
        young = Q() if age == timedelta.max else Q(created_at__gt=now - age)
        later |= young & Q(next_poll_at__gt=now + wait + _MARGIN)
    return Q(status__in=statuses) & later


def missing_next_poll(now: datetime) -> Q:
    """Recent attempts that may be charged but have no next poll."""
    open_ones = [Status.PENDING, Status.UNKNOWN, Status.EXPIRED, Status.REVIEW]
    recent = Q(payment__status__in=open_ones, payment__created_at__gt=now - _RECENT)  # uses the payments' index
    return recent & Q(status__in=open_ones, sent_at__isnull=False, next_poll_at=None)
