"""Payments that stay open for too long: since when, why, and when FeexPay is asked next."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from django_feexpay.admin import display, event_texts
from django_feexpay.admin.display import Tone
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment, PaymentEvent
from django_feexpay.monitoring.waiting import OPEN_LONG, OPEN_STATUSES

#: The worker polls within seconds of the planned time. After this delay it is not running, or has too much to do.
_OVERDUE = timedelta(minutes=5)


def is_stuck(payment: Payment, now: datetime) -> bool:
    """Whether a payment is open for longer than payers and operators need."""
    return payment.status in OPEN_STATUSES and payment.created_at < now - OPEN_LONG


def with_last_event(payments: QuerySet[Payment]) -> QuerySet[Payment]:
    """Add `last_because`, the code of each payment's newest event."""
    newest = PaymentEvent.objects.filter(payment=OuterRef("pk")).order_by("-id").values("because")
    return payments.annotate(last_because=Subquery(newest[:1]))


def age(payment: Payment, now: datetime) -> str:
    """`3 hours, 5 minutes`."""
    return timesince(payment.created_at, now)


def cause(attempt: Attempt, because: str) -> str:
    """Why an open attempt is not settled. `because`: the code of the payment's newest event."""
    status = attempt.life_status
    if status is Status.PENDING and attempt.otp_required:
        return _("The payer has not typed the code.")
    if status is Status.PENDING and attempt.redirect_url:
        return _("The payer has not paid on the payment page.")
    if status is Status.PENDING and attempt.poll_count == 0:
        return _("FeexPay accepted it and has not been asked since.")
    if status is Status.PENDING:
        return _("FeexPay says each time that it is pending.")
    if status is Status.SENDING:
        return _("It is being sent to FeexPay.")
    text = str(event_texts.EVENT_TEXTS.get(because, ""))
    if status is Status.CREATED and because in ("started", "retried", ""):
        return _("It was not sent to FeexPay yet.")
    return f"{text[:1].upper()}{text[1:]}." if text else _("FeexPay's answer was lost.")


def next_poll(attempt: Attempt, now: datetime) -> SafeString:
    """When FeexPay is asked next; a warning if that time has passed."""
    at = attempt.next_poll_at
    if at is None:
        return display.pill(_("not planned"), Tone.BAD)
    shown = display.short_moment(at)
    if at < now - _OVERDUE:
        return display.pill_with_text(_("Overdue"), Tone.BAD, shown)
    return display.line(shown)


def is_polled(attempt: Attempt, now: datetime) -> bool:
    """Whether a poll is planned and not overdue."""
    return attempt.next_poll_at is not None and attempt.next_poll_at >= now - _OVERDUE
