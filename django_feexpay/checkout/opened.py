"""What an address of the checkout shows: the intent, and the payment that it has led to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from django_feexpay import conf
from django_feexpay.checkout.addresses import SHOWN_AFTERWARDS, Intent, NotValidError, read_address
from django_feexpay.lifecycle import PublicStatus, Status
from django_feexpay.models import Checkout, Payment
from django_feexpay.models.payment import read_payments


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An address that was opened. `payment`: from `for_reading`; None before the start."""

    address: str
    intent: Intent
    user: Any
    payment: Payment | None

    @property
    def shown(self) -> Payment:
        """The payment, where there is one."""
        assert self.payment is not None  # noqa: S101 -- the callers looked
        return self.payment

    @property
    def is_failed(self) -> bool:
        return self.payment is not None and self.payment.public_status is PublicStatus.FAILED

    @property
    def may_start_another(self) -> bool:
        """Whether another payment may take the place of the failed one."""
        return self.is_failed and not self.intent.has_ended


def open_address(address: str) -> Opened:
    """Read an address and its payment. Starts nothing.

    Raises: NotValidError for an address that this site did not sign, one that has ended without a payment, and one
    whose payer was erased.
    """
    found = read_address(address)
    row_id = found.id if isinstance(found, Intent) else found
    row = Checkout.objects.filter(pk=row_id).select_related("payment").first()
    if row is not None and row.payment.is_erased:
        raise NotValidError
    if isinstance(found, Intent):
        intent = found
    elif row is not None:
        intent = _intent_of(row)
    else:
        raise NotValidError
    user = _user_of(intent)
    payment = _payment_of(intent, user, row)
    ended = conf.now() >= intent.expires_at + SHOWN_AFTERWARDS
    if ended or (payment is None and intent.has_ended):
        raise NotValidError
    return Opened(address=intent.short_address if row else address, intent=intent, user=user, payment=payment)


def _payment_of(intent: Intent, user: Any, row: Checkout | None) -> Payment | None:
    """The payment to show: a paid one of the order, else one that is being paid, else the last one of this address.

    A host may make several addresses for one order, and sell it through the API as well. An order is paid once.
    """
    of_order = read_payments().of_order(user, intent.merchant_reference).order_by("-created_at")
    found = list(of_order)
    paid = [payment for payment in found if payment.status == Status.SUCCESSFUL]
    if paid or found:
        return (paid or found)[0]
    return read_payments().get(pk=row.payment_id) if row else None


def _intent_of(row: Checkout) -> Intent:
    """The intent of a short address, from what was stored at the start."""
    payment = row.payment
    return Intent(
        id=row.pk,
        user_id=None if payment.user_id is None else str(payment.user_id),
        merchant_reference=payment.merchant_reference,
        amount=payment.amount,
        currency=row.currency,
        description=payment.description,
        metadata=payment.metadata,
        return_url=row.return_url,
        cancel_url=row.cancel_url,
        expires_at=row.expires_at,
    )


def _user_of(intent: Intent) -> Any:
    """The user who owes the money; None for a guest. Raises: NotValidError if that account is gone or inactive."""
    if intent.user_id is None:
        return None
    try:
        user = get_user_model()._default_manager.filter(pk=intent.user_id).first()
    except (ValueError, ValidationError):  # the host changed the type of its primary key
        user = None
    if user is None or not user.is_active:
        raise NotValidError
    return user
