"""One payment per checkout address: a unique row stores the intent of an address with its payment, also for guests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from django_feexpay.lifecycle import OPEN_OR_PAID
from django_feexpay.models import Checkout, Payment
from django_feexpay.payments.errors import NotAllowedError


@dataclass(frozen=True, kw_only=True)
class CheckoutIntent:
    """What `initiate` stores with a payment that was started at the checkout.

    `replaces`: the failed payment that the payer saw when another one was started; None for the first.
    """

    id: UUID
    currency: str
    return_url: str
    cancel_url: str
    expires_at: datetime
    replaces: UUID | None = None


def refuse_second(intent: CheckoutIntent | None) -> None:
    """Refuse a start whose intent has a payment already, unless the payer saw that payment fail. Exact under the lock.

    Raises: NotAllowedError `duplicate_payment`, which names the payment of the intent.
    """
    if intent is None:
        return
    earlier = Payment.objects.filter(checkout__pk=intent.id).values_list("pk", "status").first()
    if earlier is not None and (earlier[0] != intent.replaces or earlier[1] in OPEN_OR_PAID):
        message = _("This is being paid or is paid already. Do not pay a second time.")
        raise NotAllowedError("duplicate_payment", message, payment_id=earlier[0])


def record(intent: CheckoutIntent | None, payment: Payment, at: datetime) -> None:
    """Store which payment belongs to an intent, if there is one, in the caller's transaction.

    Safe to repeat: no (unique).
    """
    if intent is None:
        return
    if intent.replaces is not None and Checkout.objects.filter(pk=intent.id).update(payment=payment):
        return  # `refuse_second` found the failed payment in its place
    Checkout.objects.create(
        pk=intent.id,
        payment=payment,
        currency=intent.currency,
        return_url=intent.return_url,
        cancel_url=intent.cancel_url,
        expires_at=intent.expires_at,
        created_at=at,
    )
