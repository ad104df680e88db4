"""Payable: the host's class for the price and for what happens after a payment (FEEXPAY["PAYABLE"])."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.dispatch import Signal

from django_feexpay import signals
from django_feexpay.conf import feexpay

if TYPE_CHECKING:
    from django_feexpay.models import Payment  # a host may import Payable before Django has loaded any model

#: The signal that each method of a Payable is connected to.
_SIGNALS: Mapping[str, Signal] = {
    "paid": signals.payment_succeeded,
    "failed": signals.payment_failed,
    "refunded": signals.payment_refunded,
    "reversed": signals.payment_reversed,
}
_UID = "feexpay_payable"


class Payable:
    """Subclass it and name the subclass in FEEXPAY["PAYABLE"] by its dotted path.

    A new instance is made without arguments for each call, so keep no state in it. The worker calls every method but
    `price` and `admin_url` like a signal receiver: at least once for each `event_id`, from several threads, with a
    timeout of ten seconds, and again after an exception. These methods may be `async def`.
    """

    def price(
        self, *, user: Any, merchant_reference: str, amount: int, currency: str, metadata: Mapping[str, Any]
    ) -> int:
        """Return the amount due for this reference, in the minor unit of `currency`; another `amount` is refused.

        `user` is None for a guest. Called before each start and each retry, possibly inside your transaction.
        Raises: django.core.exceptions.ValidationError with a text for the payer if this cannot be bought.
        """
        raise NotImplementedError

    def paid(self, payment: Payment, event_id: UUID) -> None:
        """The payment is credited: deliver what `payment.credit.amount` pays for. Signal `payment_succeeded`."""

    def failed(self, payment: Payment, event_id: UUID) -> None:
        """The payment failed; a late success may still follow. Signal `payment_failed`."""

    def refunded(self, payment: Payment, event_id: UUID) -> None:
        """Staff recorded a refund, `payment.refunds.get(event_id=event_id)`. Signal `payment_refunded`."""

    def reversed(self, payment: Payment, event_id: UUID) -> None:
        """FeexPay took the money of a credited payment back. Signal `payment_reversed`."""

    def admin_url(self, payment: Payment, staff: Any) -> str:
        """Return the address of your admin page of what was paid for, such as an order, for a link on the
        payment's page.

        Called in the request for that page. `staff` is the user who reads it: return "" if that user may not open your
        page, and for a payment without one.
        """
        return ""


def admin_url_of(payment: Payment, staff: Any) -> str:
    """The address that the host's Payable gives for a payment; "" without one."""
    target = feexpay.payable_target
    is_payable = isinstance(target, type) and issubclass(target, Payable)
    return target().admin_url(payment, staff) if is_payable else ""


def connect(**kwargs: Any) -> None:
    """Connect the methods that the host's Payable overrides to their signals, and disconnect those of an earlier one.

    Also a receiver of Django's `setting_changed`. While PAYABLE cannot be imported, all four receivers are connected
    and raise, so that the worker keeps the events and delivers them after the setting is corrected.
    """
    if kwargs.get("setting", "FEEXPAY") != "FEEXPAY":
        return
    path = ""
    try:
        path, target = feexpay.payable_path, feexpay.payable_target
    except (ImportError, AttributeError):  # feexpay.E019, or E001 where FEEXPAY is no dict
        overridden = set(_SIGNALS)
    else:
        is_payable = isinstance(target, type) and issubclass(target, Payable)
        overridden = {name for name in _SIGNALS if is_payable and getattr(target, name) is not getattr(Payable, name)}
    for name, signal in _SIGNALS.items():
        signal.disconnect(dispatch_uid=_UID)
        if name in overridden:
            signal.connect(_receiver(path, name), weak=False, dispatch_uid=_UID)


def _receiver(path: str, name: str) -> Callable[..., None]:
    """A receiver with the name of the host's method (`shop.orders.Orders.paid`), which logs and receipts then show."""

    def receiver(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        method = getattr(feexpay.payable_target(), name)
        call = async_to_sync(method) if iscoroutinefunction(method) else method
        call(payment=payment, event_id=event_id)

    receiver.__module__, _, class_name = path.rpartition(".")
    receiver.__qualname__ = f"{class_name}.{name}"
    return receiver
