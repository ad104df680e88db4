"""Deliver committed events to the host's receivers: at least once, never inside our transaction.

Each message is claimed by a lease of its own, and each receiver is called by itself: one that raises or hangs is called
again later, and those that took the message are not. A message is closed when every receiver took it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import close_old_connections, connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.dispatch import Signal

from django_feexpay import conf, failpoints, signals
from django_feexpay.models import OutboxMessage, OutboxReceipt, Payment
from django_feexpay.payments import receivers
from django_feexpay.payments.durability import durable
from django_feexpay.payments.receivers import Bulkhead, Claim, Invocation, Receiver, Start, receivers_of

logger = logging.getLogger("django_feexpay.outbox")

SIGNALS: Mapping[str, Signal] = {
    OutboxMessage.Signal.SUCCEEDED: signals.payment_succeeded,
    OutboxMessage.Signal.FAILED: signals.payment_failed,
    OutboxMessage.Signal.SUCCEEDED_LATE: signals.payment_succeeded_late,
    OutboxMessage.Signal.NEEDS_REVIEW: signals.payment_needs_review,
    OutboxMessage.Signal.DUPLICATE_CHARGE: signals.duplicate_charge_found,
    OutboxMessage.Signal.REVERSED: signals.payment_reversed,
}

#: What `last_error` begins with while a receiver does not return, or is not called because its calls do not.
HANGS = "hangs"

#: Longer than one receiver may take; a deliverer that dies leaves its message due again after it.
LEASE = timedelta(seconds=60)
#: With less than this left, the lease is renewed before the next receiver is called.
_SHORT_LEASE = timedelta(seconds=2 * receivers.LIMIT_SECONDS)
_FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(hours=1)
#: When all calls that a receiver may have at once are under way, and none of them hangs.
_BUSY_WAIT = timedelta(seconds=1)
_LONGEST_ERROR = 200


class Delivery(StrEnum):
    """What became of one delivery of a message."""

    DONE = "done"
    AGAIN_LATER = "again later"
    GIVEN_UP = "given up"  # by who watches over the calls; this thread is not waited for any more


def deliver(limit: int = 100) -> int:
    """Send the signals that are due, oldest first, one after the other; how many were taken on by every receiver.

    Waits for each receiver as long as it takes. The worker delivers with many threads and a time limit instead.
    Changes: OutboxMessage, OutboxReceipt. Safe to repeat: yes; receivers must be idempotent on `event_id`.
    """
    bulkhead = Bulkhead()
    done = 0
    for _ in range(limit):
        claims = claim(1, bulkhead)
        if not claims:
            break
        done += deliver_claimed(claims[0], bulkhead) is Delivery.DONE
    return done


def claim(limit: int, bulkhead: Bulkhead) -> list[Claim]:
    """Take the messages that have been due longest, at most `limit`; no other caller gets them.

    A message waits for the earlier ones of its payment, unless a receiver failed or hangs on those. Signals whose
    receivers have no room for another call are left alone.
    Changes: `next_delivery_at`, `delivery_count`. Safe to repeat: yes.
    """
    if limit <= 0:
        return []
    now = conf.now()  # of its own for each claim: what was delivered before may have taken long
    room = {name: _room(name, bulkhead) for name in SIGNALS}
    stuck = [name for name in SIGNALS if not room[name] and _hangs(name, bulkhead)]
    earlier = OutboxMessage.objects.filter(
        payment=OuterRef("payment"), pk__lt=OuterRef("pk"), next_delivery_at__isnull=False, last_error=""
    )
    # What is put off farther than it may be was put off by a clock that was ahead.
    due_now = Q(next_delivery_at__lte=now) | Q(next_delivery_at__gt=now + LONGEST_WAIT + conf.CLOCK_SLACK)
    due = OutboxMessage.objects.filter(due_now, signal__in=[name for name in room if room[name]])
    due = due.exclude(Exists(earlier.exclude(signal__in=stuck))).order_by("next_delivery_at", "id")
    if not connection.features.has_select_for_update_skip_locked:
        rows = _within_room(due[:limit], room)
        return [held for message in rows if (held := _claim_one(message, now)) is not None]
    with durable():
        rows = _within_room(due.select_for_update(skip_locked=True, of=("self",))[:limit], room)
        taken = OutboxMessage.objects.filter(pk__in=[message.pk for message in rows])
        taken.update(next_delivery_at=now + LEASE, delivery_count=F("delivery_count") + 1)
    return [Claim(message, now + LEASE) for message in rows]


def _room(signal: str, bulkhead: Bulkhead) -> int:
    """How many messages of a signal find a receiver that may be called; without any, they are only closed."""
    places = [bulkhead.room(name) for name in receivers_of(SIGNALS[signal])]
    return max(0, *places) if places else receivers.AT_ONCE


def _hangs(signal: str, bulkhead: Bulkhead) -> bool:
    """Whether no receiver of a signal may be called because its calls do not return."""
    return all(bulkhead.hangs(name) for name in receivers_of(SIGNALS[signal]))


def _within_room(due: Iterable[OutboxMessage], room: dict[str, int]) -> list[OutboxMessage]:
    rows = []
    for message in due:
        if room[message.signal] > 0:
            room[message.signal] -= 1
            rows.append(message)
    return rows


def _claim_one(message: OutboxMessage, now: datetime) -> Claim | None:
    """Take one message, if it still is due as it was read; None when another caller was quicker."""
    held = Claim(message, now + LEASE)
    rows = OutboxMessage.objects.filter(pk=message.pk, next_delivery_at=message.next_delivery_at)
    taken = rows.update(next_delivery_at=held.lease, delivery_count=message.delivery_count + 1)
    return held if taken else None


def deliver_claimed(held: Claim, bulkhead: Bulkhead) -> Delivery:
    """Call every receiver that has not taken the message yet, and close it if all of them have now.

    Changes: OutboxMessage, OutboxReceipt. Safe to repeat: yes; receivers must be idempotent on `event_id`.
    """
    message = held.message
    payment = Payment.objects.for_reading().get(pk=message.payment_id)
    arguments = {"signal": SIGNALS[message.signal], "payment": payment, "event_id": message.event_id}
    taken, took, errors = _receipts(message), list[str](), list[str]()
    busy = False
    for name, functions in receivers_of(SIGNALS[message.signal]).items():
        if name in taken:
            continue
        invocation = Invocation(name, held := _renewed(held), tuple(took))
        match bulkhead.begin(invocation):
            case Start.BUSY:
                busy = True
            case Start.HANGS:
                errors.append(f"{HANGS}: {name}")
            case Start.BEGUN:
                error = _invoke(invocation, functions, arguments, bulkhead)
                if invocation.given_up:
                    return Delivery.GIVEN_UP
                if error:
                    errors.append(f"{error}: {name}")
                else:
                    took.append(name)
    failpoints.hit("signalled")
    if errors or busy:
        _postpone(held, took, errors[0] if errors else "")
        return Delivery.AGAIN_LATER
    return Delivery.DONE if _close(held) else Delivery.AGAIN_LATER


def give_up(invocation: Invocation, bulkhead: Bulkhead) -> bool:
    """Leave the message of a call that does not return; False if it returned just now.

    The thread cannot be stopped: its receiver counts as hanging until it returns. The message is due again with the
    usual waits; who took it before is not called again, those behind the one that hangs are.
    Changes: OutboxMessage, OutboxReceipt. Safe to repeat: yes.
    """
    if not bulkhead.give_up(invocation):
        return False
    message, hanging = invocation.held.message, bulkhead.hanging(invocation.receiver)
    logger.error(
        "%s does not return on %s of %s: left, to be called again later (%d of its calls hang)",
        *(invocation.receiver, message.signal, message.payment_id, hanging),
    )
    if hanging >= receivers.HANGING_BEFORE_PAUSE:
        logger.critical("%s is hardly called any more: mend it, then restart this worker", invocation.receiver)
    _postpone(invocation.held, invocation.took, f"{HANGS}: {invocation.receiver}")
    return True


def _receipts(message: OutboxMessage) -> set[str]:
    """Who took a message in an earlier delivery."""
    if not message.delivery_count:  # as it was read: this is the first
        return set()
    return set(message.receipts.values_list("receiver", flat=True))


def _renewed(held: Claim) -> Claim:
    """The claim with time enough for one more receiver. Lost to another deliverer, it stays as it is: it closes
    nothing any more.
    """
    now = conf.now()
    if held.lease - now >= _SHORT_LEASE:
        return held
    renewed = Claim(held.message, now + LEASE)
    return renewed if _rows(held).update(next_delivery_at=renewed.lease) else held


def _rows(held: Claim) -> QuerySet[OutboxMessage]:
    """The message, only while its lease stands: who lost it must not overwrite what the next one wrote."""
    return OutboxMessage.objects.filter(pk=held.message.pk, next_delivery_at=held.lease)


def _close(held: Claim) -> bool:
    return bool(_rows(held).update(next_delivery_at=None, delivered_at=conf.now(), last_error=""))


def _postpone(held: Claim, took: Iterable[str], error: str) -> None:
    """Due again later; without an error as soon as there may be room, and its place in the order is kept."""
    _keep_receipts(held.message, took)
    if error:
        at = conf.now() + _wait(held.message.delivery_count)
        _rows(held).update(next_delivery_at=at, last_error=error[:_LONGEST_ERROR])
    else:
        _rows(held).update(next_delivery_at=conf.now() + _BUSY_WAIT)


def _keep_receipts(message: OutboxMessage, took: Iterable[str]) -> None:
    OutboxReceipt.objects.bulk_create(
        [OutboxReceipt(message=message, receiver=name) for name in took], ignore_conflicts=True
    )


def _invoke(
    invocation: Invocation, functions: Iterable[Receiver], arguments: Mapping[str, Any], bulkhead: Bulkhead
) -> str:
    """ "" or the type of what the receiver raised. A call that was given up meanwhile only says that it took it."""
    error = ""
    try:
        error = _error_of(invocation, functions, arguments)
    finally:
        still_ours = bulkhead.end(invocation)
    if not still_ours:
        _note_late_return(invocation, error)
    return error


def _error_of(invocation: Invocation, functions: Iterable[Receiver], arguments: Mapping[str, Any]) -> str:
    """The text of an error is neither kept nor logged: it may be personal."""
    error, message = "", invocation.held.message
    for function in functions:
        try:
            function(sender=Payment, **arguments)
        except (Exception, SystemExit) as raised:
            error = type(raised).__name__
            logger.error("%s failed on %s of %s: %s", invocation.receiver, message.signal, message.payment_id, error)
            if not connection.in_atomic_block:
                close_old_connections()  # it may have broken the one that the next receiver needs
    return error


def _note_late_return(invocation: Invocation, error: str) -> None:
    """A receiver that came back after all is not called again with this message; the rest is another thread's."""
    message = invocation.held.message
    logger.warning("%s returned at last on %s of %s", invocation.receiver, message.signal, message.payment_id)
    close_old_connections()
    if not error:
        _keep_receipts(message, [invocation.receiver])


def _wait(tries: int) -> timedelta:
    doublings: int = 2 ** min(tries, 16)
    return min(_FIRST_WAIT * doublings, LONGEST_WAIT)
