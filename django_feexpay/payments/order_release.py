"""Release an order whose payment blocks a new start, after asking FeexPay.

`attempts.refuse_duplicates` refuses a start while a payment of the same order is open or paid. An open payment stops
blocking the order when FeexPay settles it as failed. A paid one blocks it until the money went back to the payer and
staff release it.
"""

from __future__ import annotations

import time
from uuid import UUID

from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.lifecycle import LIVE, OPEN_OR_PAID, Status
from django_feexpay.models import Attempt, Incident, Payment, PaymentEvent
from django_feexpay.payments import attempts, refunds, staff_actions
from django_feexpay.payments.durability import durable, refuse_outer_atomic
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.reconcile import ask
from django_feexpay.payments.staff_actions import Action, checked_reason

Source = PaymentEvent.Source

#: For all questions together, because staff wait for the page.
ASK_SECONDS = 20.0


def blocks_an_order(payment: Payment) -> bool:
    """Whether a new payment for the same order is refused because of this one."""
    return bool(payment.merchant_reference) and payment.status in OPEN_OR_PAID and payment.released_at is None


def may_be_released(payment: Payment) -> bool:
    """Whether `release` may succeed, as far as the rows show. Only then is it offered to staff."""
    if not blocks_an_order(payment):
        return False
    if payment.status == Status.SUCCESSFUL:
        return not _keeps_money(payment)
    return payment.status in LIVE and payment.attempt.expires_at <= conf.now()


def release(payment_id: UUID, *, reason: str, actor: str, source: Source) -> None:
    """Ask FeexPay about every attempt of a payment, then let its order be paid again.

    Must run outside a transaction. Changes: the attempts, by `ledger.move`; Payment (released_at), StaffAction.
    Raises: NotAllowedError `validation_error`, `order_not_blocked`, `gateway_unavailable`, `payment_open` while an
    attempt may still succeed, `money_kept` while the shop has the money; InsideAtomicError.
    Safe to repeat: yes, the second call is refused.
    """
    refuse_outer_atomic()
    reason = checked_reason(reason)
    if not blocks_an_order(Payment.objects.get(pk=payment_id)):
        raise _not_blocked(payment_id)
    give_up_at = time.monotonic() + ASK_SECONDS
    for attempt_id in Attempt.objects.filter(payment=payment_id).order_by("ordinal").values_list("pk", flat=True):
        left = give_up_at - time.monotonic()
        if left <= 0 or ask(attempt_id, source=source, actor=actor, note=reason, total_seconds=left / 2) is None:
            raise attempts.cannot_ask(payment_id)
    _release(payment_id, reason, actor, source)


@durable()
def _release(payment_id: UUID, reason: str, actor: str, source: Source) -> None:
    """Judge the rows that FeexPay's answers left, under the payment's lock."""
    payment = Payment.objects.select_for_update(of=("self",)).get(pk=payment_id)
    if payment.released_at is not None:
        raise _not_blocked(payment_id)
    if blocks_an_order(payment):
        rows = list(Attempt.objects.filter(payment=payment))
        if any(row.life_status is not Status.SUCCESSFUL and not row.is_not_charged for row in rows):
            message = _("An attempt of this payment may still succeed: the order stays blocked.")
            raise NotAllowedError("payment_open", message, payment_id=payment_id)
        if _keeps_money(payment):
            message = _("The shop still has the money of this payment. Record the refund first.")
            raise NotAllowedError("money_kept", message, payment_id=payment_id)
        Payment.objects.filter(pk=payment_id).update(released_at=conf.now())
    detail = {"status": payment.status}
    action = Action.RELEASE_ORDER
    staff_actions.record(action, actor=actor, source=source, target=payment, reason=reason, detail=detail)


def _keeps_money(payment: Payment) -> bool:
    """Whether the shop still has the money of a charge: not refunded, taken back by FeexPay or explained by staff.

    A second charge is explained by its closed incident. A reversal that was closed because no money was lost took
    nothing back.
    """
    reversals = Incident.objects.filter(payment=payment, kind=Incident.Kind.REVERSED_AFTER_CREDIT)
    is_taken_back = reversals.exclude(resolution=Incident.Resolution.NO_MONEY_LOST).exists()
    for charge in refunds.charges_of(payment.pk):
        explained = charge.incident is not None and charge.incident.closed_at is not None
        if charge.owed > 0 and not (is_taken_back if charge.credited else explained):
            return True
    return False


def _not_blocked(payment_id: UUID) -> NotAllowedError:
    return NotAllowedError("order_not_blocked", _("This payment does not block an order."), payment_id=payment_id)
