"""The interface of every notifier, and when it is called."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import translation

from django_feexpay import conf
from django_feexpay.lifecycle import PublicStatus
from django_feexpay.models import OutboxMessage, Payment
from django_feexpay.notifications.notification import Kind, Notification
from django_feexpay.notifications.opt_out import has_opted_out

logger = logging.getLogger("django_feexpay.notifications")

#: A notification that could not be sent for so long is dropped: it would confuse more than it would help.
LONGEST_DELAY = timedelta(days=3)


class Notifier:
    """Subclass it and list the subclass in FEEXPAY["NOTIFICATIONS"] by its dotted path.

    A new instance is made without arguments for each notification, so keep no state in it. The worker calls it from
    several threads, with a timeout of ten seconds. An exception means "call again later"; after LONGEST_DELAY the
    notification is dropped. A notification is sent twice only if the worker dies between `send` and writing it down:
    `notification.event_id` is then the same.
    """

    def wants(self, payment: Payment, kind: Kind) -> bool:
        """Whether the payer wants this notification. The base asks for the opt-out of the payment's user."""
        return not has_opted_out(payment.user_id)

    def send(self, notification: Notification) -> None:
        """Send it, or return quietly if the payer has no address here. The payer's language is active."""
        raise NotImplementedError


def notify(notifier: Notifier, kind: Kind, payment: Payment, event_id: UUID) -> None:
    """Send one notification, if it is still true and the payer wants it.

    `payment` comes from `Payment.objects.for_reading()`. Changes: nothing here. Safe to repeat: it sends again.
    """
    if not _is_still_true(kind, payment) or not notifier.wants(payment, kind):
        return
    if _is_too_old(payment, event_id):
        logger.error("the notification %s about %s was dropped: it could not be sent for days", kind, payment.pk)
        return
    language = payment.language or settings.LANGUAGE_CODE
    with translation.override(language):
        notifier.send(Notification(kind=kind, payment=payment, event_id=event_id, language=language))


def _is_still_true(kind: Kind, payment: Payment) -> bool:
    """Whether the notification says what holds now: while it waited, the payer may have retried or paid late."""
    if kind is Kind.FAILED:
        return payment.public_status is PublicStatus.FAILED
    if kind is Kind.SUCCEEDED:  # a late success has its own words, and one notification
        return not payment.outbox.filter(signal=OutboxMessage.Signal.SUCCEEDED_LATE).exists()
    return True


def _is_too_old(payment: Payment, event_id: UUID) -> bool:
    return payment.outbox.filter(event_id=event_id, created_at__lt=conf.now() - LONGEST_DELAY).exists()
