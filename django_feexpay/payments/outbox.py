"""Deliver committed events to the host's receivers: at least once, never inside our transaction.

Each message has its own lease, and each receiver is called separately. A receiver that raises or hangs is called again
later; receivers that returned are not. A message is closed when every receiver has returned.
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
from django.utils.translation import gettext as _

from django_feexpay import conf, failpoints, log_context, signals
from django_feexpay.models import OutboxMessage, OutboxReceipt, Payment, PaymentEvent
from django_feexpay.payments import receivers, staff_actions
from django_feexpay.payments.durability import durable
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.receivers import Bulkhead, Claim, Invocation, Receiver, Start, receivers_of
from django_feexpay.payments.staff_actions import Action, checked_reason

logger = logging.getLogger("django_feexpay.outbox")

SIGNALS: Mapping[str, Signal] = {
    OutboxMessage.Signal.SUCCEEDED: signals.payment_succeeded,
    OutboxMessage.Signal.FAILED: signals.payment_failed,
    OutboxMessage.Signal.SUCCEEDED_LATE: signals.payment_succeeded_late,
    OutboxMessage.Signal.NEEDS_REVIEW: signals.payment_needs_review,
    OutboxMessage.Signal.DUPLICATE_CHARGE: signals.duplicate_charge_found,
    OutboxMessage.Signal.REFUNDED: signals.payment_refunded,
    OutboxMessage.Signal.REVERSED: signals.payment_reversed,
    OutboxMessage.Signal.PAYOUT_UNDONE: signals.payout_undone,
}

#: `last_error` begins with this while a receiver does not return, or is not called because its calls do not return.
ERROR_HANGS = "hangs"

#: Longer than the time limit of a receiver. If the process dies, the message is due again after it.
LEASE = timedelta(seconds=60)
#: A lease with less time left than this is renewed before the next receiver is called.
_RENEW_BELOW = timedelta(seconds=2 * receivers.LIMIT_SECONDS)
_FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(hours=1)
#: The wait while a receiver has AT_ONCE calls under way and none of them hangs.
_BUSY_WAIT = timedelta(seconds=1)
_LONGEST_ERROR = 200


class Delivery(StrEnum):
    """The result of one delivery of a message."""

    DONE = "done"
    AGAIN_LATER = "again later"
    GIVEN_UP = "given up"  # it exceeded its time limit; the pool no longer waits for this thread


def deliver(limit: int = 100) -> int:
    """Deliver the due messages one after the other, oldest first; return how many are done.

    It sets no time limit for receivers. The worker delivers with many threads and a time limit instead.
    Changes: OutboxMessage, OutboxReceipt. Safe to repeat: yes; receivers must be idempotent on `event_id`.
    """
    bulkhead = Bulkhead()
    done = 0
    for _round in range(limit):
        claims = claim(1, bulkhead)
        if not claims:
            break
        done += deliver_claimed(claims[0], bulkhead) is Delivery.DONE
    return done


def claim(limit: int, bulkhead: Bulkhead) -> list[Claim]:
    """Claim the messages that have been due longest, at most `limit`; no other caller gets them.

    A message waits for the earlier ones of its payment, unless a receiver failed or hangs on those. Signals whose
    receivers have no free call are skipped.
    Changes: `next_delivery_at`, `delivery_count`. Safe to repeat: yes.
    """
    if limit <= 0:
        return []
    now = conf.now()
    free_calls = {name: _free_calls(name, bulkhead) for name in SIGNALS}
    stuck = [
        name
        for name in SIGNALS
        if not free_calls[name] and all(bulkhead.hangs(receiver) for receiver in receivers_of(SIGNALS[name]))
    ]
    earlier = OutboxMessage.objects.filter(
        payment=OuterRef("payment"), pk__lt=OuterRef("pk"), next_delivery_at__isnull=False, last_error=""
    )
    # A delivery planned later than LONGEST_WAIT was planned by a clock that ran ahead.
    due_now = Q(next_delivery_at__lte=now) | Q(next_delivery_at__gt=now + LONGEST_WAIT + conf.CLOCK_SLACK)
    due = OutboxMessage.objects.filter(due_now, signal__in=[name for name in free_calls if free_calls[name]])
    due = due.exclude(Exists(earlier.exclude(signal__in=stuck))).order_by("next_delivery_at", "id")
    if not connection.features.has_select_for_update_skip_locked:
        rows = _within_limits(due[:limit], free_calls)
        return [held for message in rows if (held := _claim_one(message, now)) is not None]
    with durable():
        rows = _within_limits(due.select_for_update(skip_locked=True, of=("self",))[:limit], free_calls)
        taken = OutboxMessage.objects.filter(pk__in=[message.pk for message in rows])
        taken.update(next_delivery_at=now + LEASE, delivery_count=F("delivery_count") + 1)
    return [Claim(message, now + LEASE) for message in rows]


def _free_calls(signal: str, bulkhead: Bulkhead) -> int:
    """How many messages of a signal may be delivered now. Without receivers they are only closed."""
    free = [bulkhead.free_calls(name) for name in receivers_of(SIGNALS[signal])]
    return max(0, *free) if free else receivers.AT_ONCE


def _within_limits(due: Iterable[OutboxMessage], free_calls: dict[str, int]) -> list[OutboxMessage]:
    rows = []
    for message in due:
        if free_calls[message.signal] > 0:
            free_calls[message.signal] -= 1
            rows.append(message)
    return rows


def _claim_one(message: OutboxMessage, now: datetime) -> Claim | None:
    """Claim one message, unless another caller changed it since it was read."""
    held = Claim(message, now + LEASE)
    rows = OutboxMessage.objects.filter(pk=message.pk, next_delivery_at=message.next_delivery_at)
    taken = rows.update(next_delivery_at=held.lease, delivery_count=message.delivery_count + 1)
    return held if taken else None


@log_context.step()
def deliver_claimed(held: Claim, bulkhead: Bulkhead) -> Delivery:
    """Call every receiver that has not returned for the message yet, and close it when all have.

    Changes: OutboxMessage, OutboxReceipt. Safe to repeat: yes; receivers must be idempotent on `event_id`.
    """
    message = held.message
    payment = Payment.objects.for_reading().get(pk=message.payment_id)
    log_context.bind(payment_id=payment.pk, attempt_id=payment.latest_attempt_id, provider=payment.provider_id)
    arguments = {"signal": SIGNALS[message.signal], "payment": payment, "event_id": message.event_id}
    # `delivery_count` was read before this claim raised it: 0 means no earlier delivery, and so no receipt.
    done_before = set(message.receipts.values_list("receiver", flat=True)) if message.delivery_count else set()
    returned, errors = list[str](), list[str]()
    busy = False
    for name, functions in receivers_of(SIGNALS[message.signal]).items():
        if name in done_before:
            continue
        invocation = Invocation(name, held := _renewed(held), tuple(returned))
        match bulkhead.begin(invocation):
            case Start.BUSY:
                busy = True
            case Start.HANGS:
                errors.append(f"{ERROR_HANGS}: {name}")
            case Start.BEGUN:
                error = _invoke(invocation, functions, arguments, bulkhead)
                if invocation.given_up:
                    return Delivery.GIVEN_UP
                if error:
                    errors.append(f"{error}: {name}")
                else:
                    returned.append(name)
    failpoints.hit("signalled")
    if errors or busy:
        _postpone(held, returned, errors[0] if errors else "")
        return Delivery.AGAIN_LATER
    closed = _held_row(held).update(next_delivery_at=None, delivered_at=conf.now(), last_error="")
    if not closed:
        return Delivery.AGAIN_LATER
    logger.info("%s of %s is delivered", message.signal, payment.pk, extra={"signal": message.signal})
    return Delivery.DONE


@log_context.step()
def give_up(invocation: Invocation, bulkhead: Bulkhead) -> bool:
    """Take the message from a call that does not return; False if it returned just now.

    The thread cannot be stopped: its call counts as hanging until it returns. The message is due again after the usual
    back-off. Receivers that returned are not called again; the hanging receiver and those after it are.
    Changes: OutboxMessage, OutboxReceipt. Safe to repeat: yes.
    """
    if not bulkhead.give_up(invocation):
        return False
    message, hanging = invocation.held.message, bulkhead.hanging(invocation.receiver)
    log_context.bind(payment_id=message.payment_id)
    logger.error(
        "%s does not return on %s of %s: abandoned, and called again later (%d of its calls hang)",
        *(invocation.receiver, message.signal, message.payment_id, hanging),
    )
    if hanging >= receivers.HANGING_BEFORE_PAUSE:
        logger.critical(
            "%s is called only once in ten minutes, because its calls hang: fix it and restart the worker",
            invocation.receiver,
        )
    _postpone(invocation.held, invocation.returned, f"{ERROR_HANGS}: {invocation.receiver}")
    return True


@durable()
def send_again(message_id: int, *, reason: str, actor: str, source: PaymentEvent.Source) -> None:
    """Deliver a message to the host's receivers once more, with the same event id. A waiting message is delivered now.

    The payer is not notified twice: notifiers, which are called last, keep or get a receipt. A waiting message keeps
    all its receipts, so receivers that returned are not called again.
    Changes: OutboxMessage, OutboxReceipt, StaffAction. Raises: NotAllowedError `validation_error`, `already_due`.
    Safe to repeat: yes; until it is delivered again, the second call is refused.
    """
    reason, now = checked_reason(reason), conf.now()
    message = OutboxMessage.objects.select_for_update(of=("self",)).get(pk=message_id)
    unchanged = OutboxMessage.objects.filter(pk=message_id, next_delivery_at=message.next_delivery_at)
    if message.next_delivery_at is None:
        message.receipts.all().delete()
        _keep_receipts(message, receivers.called_last_names(SIGNALS[message.signal]))
        due = unchanged.update(next_delivery_at=now, delivered_at=None, last_error="")
    else:  # due within a lease: a worker may be delivering it
        due = message.next_delivery_at > now + LEASE and unchanged.update(next_delivery_at=now)
    if not due:
        text = _("This signal is about to be delivered: nothing was changed.")
        raise NotAllowedError("already_due", text, payment_id=message.payment_id)
    action, detail = Action.RESEND_SIGNAL, {"signal": message.signal, "event_id": str(message.event_id)}
    staff_actions.record(action, actor=actor, source=source, target=message, reason=reason, detail=detail)


def _renewed(held: Claim) -> Claim:
    """A claim with enough time for one more receiver. A claim that was lost meanwhile is returned unchanged."""
    now = conf.now()
    if held.lease - now >= _RENEW_BELOW:
        return held
    renewed = Claim(held.message, now + LEASE)
    return renewed if _held_row(held).update(next_delivery_at=renewed.lease) else held


def _held_row(held: Claim) -> QuerySet[OutboxMessage]:
    """The message while the claim is valid. A worker that lost its claim must not overwrite a newer value."""
    return OutboxMessage.objects.filter(pk=held.message.pk, next_delivery_at=held.lease)


def _postpone(held: Claim, returned: Iterable[str], error: str) -> None:
    """Deliver again later: after an error with back-off, else as soon as a receiver may have a free call."""
    _keep_receipts(held.message, returned)
    if error:
        doublings: int = 2 ** min(held.message.delivery_count, 16)
        at = conf.now() + min(_FIRST_WAIT * doublings, LONGEST_WAIT)
        _held_row(held).update(next_delivery_at=at, last_error=error[:_LONGEST_ERROR])
    else:
        _held_row(held).update(next_delivery_at=conf.now() + _BUSY_WAIT)


def _keep_receipts(message: OutboxMessage, returned: Iterable[str]) -> None:
    OutboxReceipt.objects.bulk_create(
        [OutboxReceipt(message=message, receiver=name) for name in returned], ignore_conflicts=True
    )


def _invoke(
    invocation: Invocation, functions: Iterable[Receiver], arguments: Mapping[str, Any], bulkhead: Bulkhead
) -> str:
    """Call a receiver; return "" or the type of its error, whose text may hold personal data.

    If the call was given up meanwhile, only its receipt is written: it is not called with this message again.
    """
    error, message = "", invocation.held.message
    about = (invocation.receiver, message.signal, message.payment_id)
    try:
        for function in functions:
            try:
                function(sender=Payment, **arguments)
            except (Exception, SystemExit) as raised:
                error = type(raised).__name__
                logger.error("%s failed on %s of %s: %s", *about, error)
                if not connection.in_atomic_block:
                    close_old_connections()  # the error may have broken the connection
    finally:
        in_time = bulkhead.end(invocation)
    if not in_time:
        logger.warning("%s returned after its time limit on %s of %s", *about)
        close_old_connections()
        if not error:
            _keep_receipts(message, [invocation.receiver])
    return error
