"""What a payer can do with a payment now, and when to look at it again. The API and the checkout say the same."""

from __future__ import annotations

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import PublicStatus, Status
from django_feexpay.models import Payment
from django_feexpay.payments.poll_schedule import seconds_until_next_read
from django_feexpay.payments.rates import may_be_used_again


def can_retry(payment: Payment) -> bool:
    """Whether a new attempt of this payment may be started. `payment` comes from `Payment.objects.for_reading()`."""
    if payment.public_status is not PublicStatus.FAILED:
        return False
    unsure: bool = payment.may_still_succeed or payment.paid_elsewhere  # type: ignore[attr-defined]  # by for_reading()
    return not unsure and may_be_used_again(payment) and payment.attempt.ordinal < feexpay.max_attempts


def next_poll_seconds(payment: Payment) -> int | None:
    """The seconds after which a client reads the payment again; None if it is settled."""
    if payment.public_status is not PublicStatus.PENDING:
        return None
    return seconds_until_next_read(Status(payment.status), payment.attempt.next_poll_at, conf.now())
