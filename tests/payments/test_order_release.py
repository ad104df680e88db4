"""An order is released only after asking FeexPay, when nothing of it may succeed and its money went back."""

from __future__ import annotations

import pytest

from django_feexpay.models import Incident, Payment, StaffAction
from django_feexpay.payments import order_release
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import close_incident, only_attempt
from tests.payments.test_refunds import charged_again, credited, give

__all__ = ["charged_again", "credited"]

pytestmark = pytest.mark.django_db


def release(payment: Payment) -> str:
    """ "" if it was released, else the code of the refusal."""
    try:
        order_release.release(payment.pk, reason="the payer buys again", actor="1", source=Source.ADMIN)
    except NotAllowedError as refusal:
        return refusal.code
    return ""


def test_refunded_order_may_be_paid_again(credited: Payment, begin: Begin, gateway: ModelGateway) -> None:
    give(credited)
    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        begin(merchant_reference="order-7")

    assert release(credited) == ""

    second = begin(merchant_reference="order-7")
    gateway.last().approve()
    reconcile(only_attempt(second).pk, source=Source.WORKER)
    second.refresh_from_db()
    assert (second.status, Incident.objects.count()) == ("successful", 0)
    assert StaffAction.objects.filter(action="release_order", payment=credited).count() == 1
    assert [str(violation) for violation in violations()] == []
    assert release(credited) == "order_not_blocked"


def test_order_stays_blocked_while_the_shop_has_the_money(credited: Payment) -> None:
    assert release(credited) == "money_kept"
    give(credited, 4999)
    assert release(credited) == "money_kept"
    assert StaffAction.objects.filter(action="release_order").count() == 0


def test_order_stays_blocked_while_a_second_charge_is_owed(credited: Payment, charged_again: Incident) -> None:
    give(credited)
    assert release(credited) == "money_kept"

    give(credited, incident_id=charged_again.pk)

    assert release(credited) == ""


def test_money_that_feexpay_took_back_releases_the_order(credited: Payment, gateway: ModelGateway) -> None:
    """Asking finds the reversal."""
    gateway.last().status = "REVERSED"

    assert release(credited) == ""
    assert Incident.objects.get().kind == "reversed_after_credit"
    assert [str(violation) for violation in violations()] == []


def test_order_stays_blocked_after_a_reversal_that_took_nothing_back(credited: Payment, gateway: ModelGateway) -> None:
    gateway.last().status = "REVERSED"
    reconcile(only_attempt(credited).pk, source=Source.WORKER)
    gateway.last().approve()
    close_incident(Incident.objects.get().pk, "FeexPay's support: it was shown by mistake")

    assert release(credited) == "money_kept"

    Payment.objects.update(released_at=credited.created_at)
    assert [str(violation) for violation in violations()] == [
        f"I22 payment {credited.pk}: its order was released, and its money is not back"
    ]


def test_reversal_of_a_released_order_is_closed_as_no_loss_only_after_a_refund(
    credited: Payment, gateway: ModelGateway
) -> None:
    gateway.last().status = "REVERSED"
    assert release(credited) == ""
    reversal = Incident.objects.get().pk

    with pytest.raises(NotAllowedError, match="money_kept"):
        close_incident(reversal, "it was shown by mistake")
    give(credited, incident_id=reversal)
    assert close_incident(reversal, "it was shown by mistake")

    assert [str(violation) for violation in violations()] == []


def test_open_payment_is_refused_while_it_may_still_succeed(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin(merchant_reference="order-7")

    assert release(payment) == "payment_open"


def test_open_payment_that_feexpay_shows_as_failed_is_settled(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin(merchant_reference="order-7")
    gateway.last().decline()

    assert release(payment) == ""

    payment.refresh_from_db()
    assert (payment.status, payment.released_at) == ("failed", None)
    begin(merchant_reference="order-7")


def test_nothing_is_released_without_an_answer(
    credited: Payment, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(credited)
    monkeypatch.setattr(order_release, "ask", lambda *args, **kwargs: None)

    assert release(credited) == "gateway_unavailable"


def test_payment_without_an_order_blocks_nothing(begin: Begin, gateway: ModelGateway) -> None:
    assert release(begin()) == "order_not_blocked"


def test_verify_reports_an_order_that_was_released_with_its_money(credited: Payment) -> None:
    Payment.objects.update(released_at=credited.created_at)

    assert [str(violation) for violation in violations()] == [
        f"I22 payment {credited.pk}: its order was released, and its money is not back"
    ]
