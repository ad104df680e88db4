"""Deliver committed events to the host's receivers: at least once, never inside our transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from django.db.models import Q
from django.dispatch import Signal

from django_feexpay import conf, failpoints, signals
from django_feexpay.models import OutboxMessage, Payment

logger = logging.getLogger("django_feexpay.outbox")

SIGNALS: Mapping[str, Signal] = {
    OutboxMessage.Signal.SUCCEEDED: signals.payment_succeeded,
    OutboxMessage.Signal.FAILED: signals.payment_failed,
    OutboxMessage.Signal.SUCCEEDED_LATE: signals.payment_succeeded_late,
    OutboxMessage.Signal.NEEDS_REVIEW: signals.payment_needs_review,
    OutboxMessage.Signal.DUPLICATE_CHARGE: signals.duplicate_charge_found,
}

#: Longer than a receiver should take; a deliverer that dies leaves its message due again after it.
_LEASE = timedelta(seconds=60)
_FIRST_WAIT = timedelta(seconds=2)
_LONGEST_WAIT = timedelta(hours=1)


def deliver(limit: int = 100) -> int:
    """Send the signals that are due, oldest first; how many were taken on by every receiver.

    Changes: OutboxMessage. Safe to repeat: yes; receivers must be idempotent on `event_id`.
    """
    now = conf.now()
    # What is put off farther than it may be was put off by a clock that was ahead.
    due = Q(next_delivery_at__lte=now) | Q(next_delivery_at__gt=now + _LONGEST_WAIT + conf.CLOCK_SLACK)
    waiting = OutboxMessage.objects.filter(due).order_by("next_delivery_at", "id")
    return sum(_deliver(message) for message in list(waiting[:limit]))


def _deliver(message: OutboxMessage) -> bool:
    now = conf.now()  # of its own: the messages before it may have taken longer than a lease
    mine = OutboxMessage.objects.filter(pk=message.pk, next_delivery_at=message.next_delivery_at)
    if not mine.update(next_delivery_at=now + _LEASE, delivery_count=message.delivery_count + 1):
        return False
    error = _send(message)
    failpoints.hit("signalled")
    held = OutboxMessage.objects.filter(pk=message.pk, next_delivery_at=now + _LEASE)
    if error:
        held.update(next_delivery_at=conf.now() + _wait(message.delivery_count), last_error=error)
        return False
    held.update(next_delivery_at=None, delivered_at=conf.now(), last_error="")
    return True


def _send(message: OutboxMessage) -> str:
    """Call every receiver; "" or the type of what the first one raised. Its text is not kept: it may be personal."""
    payment = Payment.objects.for_reading().get(pk=message.payment_id)
    try:
        answers = SIGNALS[message.signal].send_robust(sender=Payment, payment=payment, event_id=message.event_id)
    except Exception as stumble:  # Django's, over a receiver that raised and has no __qualname__, such as a partial
        logger.error("a receiver failed on %s of %s: %s", message.signal, message.payment_id, type(stumble).__name__)
        return type(stumble).__name__
    errors = [(receiver, answer) for receiver, answer in answers if isinstance(answer, Exception)]
    for receiver, error in errors:
        name = getattr(receiver, "__qualname__", "receiver")
        logger.error("%s failed on %s of %s: %s", name, message.signal, message.payment_id, type(error).__name__)
    return type(errors[0][1]).__name__ if errors else ""


def _wait(tries: int) -> timedelta:
    doublings: int = 2 ** min(tries, 16)
    return min(_FIRST_WAIT * doublings, _LONGEST_WAIT)
