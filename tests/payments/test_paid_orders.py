"""One order, two payments: after an expiry the payer may start again, and both may be paid."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Incident, Payment
from django_feexpay.payments import ledger, shop_days, statements
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.statements import Period
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt
from tests.payments.threads import at_once

EVIDENCE = {"word": "successful", "echo_matches": True}


def expire(payment: Payment) -> Attempt:
    attempt = only_attempt(payment)
    ledger.move(attempt.pk, Status.EXPIRED, Cause(source=Source.WORKER, because="test"))
    return attempt


def succeed(attempt: Attempt) -> bool:
    evidence = EVIDENCE | {"reference": attempt.gateway_reference, "amount": attempt.amount}
    cause = Cause(source=Source.WORKER, because="confirmed", evidence=evidence)
    return ledger.move(attempt.pk, Status.SUCCESSFUL, cause) is not None


@pytest.mark.django_db
def test_order_paid_by_two_payments_is_an_incident_of_the_later_one(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    first = expire(begin(merchant_reference="order-1"))
    second = only_attempt(begin(merchant_reference="order-1"))

    succeed(second)
    succeed(first)

    assert Credit.objects.count() == 2  # FeexPay took both payments, and each is credited once
    incident = Incident.objects.get()
    assert (incident.attempt, incident.amount, incident.currency) == (first, 5000, "XOF")
    assert (incident.gateway_reference, incident.credited_reference) == ("ref-0001", "ref-0002")
    assert list(first.payment.outbox.order_by("id").values_list("signal", flat=True)) == [
        "payment_failed",
        "payment_succeeded",
        "payment_succeeded_late",
        "duplicate_charge_found",
    ]
    assert list(violations()) == []


@pytest.mark.django_db
def test_statement_counts_both_payments_of_an_order_once(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """Both are credited: the double charge stands among the credits, with its fee."""
    first = expire(begin(merchant_reference="order-1"))
    second = only_attempt(begin(merchant_reference="order-1"))
    succeed(second)
    succeed(first)
    assert Incident.objects.count() == 1

    total = statements.make(Period(shop_days.today(), shop_days.today())).totals["XOF"]

    assert (total.credit_count, total.gross) == (2, 10_000)
    assert (total.double_charge_count, total.double_charges) == (0, 0)
    assert total.fees == first.payment.fee + second.payment.fee > 0
    assert total.net == 10_000 - total.fees


@pytest.mark.django_db
@pytest.mark.parametrize("reference", ["", "order-2"], ids=["no order", "another order"])
def test_payments_of_different_orders_are_no_incident(
    reference: str, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    first = expire(begin(merchant_reference=reference))
    clock.advance(61)
    second = only_attempt(begin(merchant_reference="order-1" if reference else ""))

    succeed(second)
    succeed(first)

    assert Credit.objects.count() == 2
    assert not Incident.objects.exists()
    assert list(violations()) == []


@pytest.mark.django_db
def test_same_reference_of_another_user_is_no_incident(
    begin: Begin, gateway: ModelGateway, clock: Clock, django_user_model: type[User]
) -> None:
    mine = only_attempt(begin(merchant_reference="order-1"))
    theirs = only_attempt(begin(merchant_reference="order-1", user=django_user_model.objects.create_user("other")))

    succeed(mine)
    succeed(theirs)

    assert not Incident.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(("other_pseudonym", "incidents"), [("payer-1", 1), ("payer-2", 0)])
def test_pseudonym_tells_the_orders_of_erased_payers_apart(
    other_pseudonym: str,
    incidents: int,
    begin: Begin,
    gateway: ModelGateway,
    clock: Clock,
    django_user_model: type[User],
) -> None:
    mine = only_attempt(begin(merchant_reference="order-1"))
    theirs = only_attempt(begin(merchant_reference="order-1", user=django_user_model.objects.create_user("other")))
    for attempt, pseudonym in ((mine, "payer-1"), (theirs, other_pseudonym)):
        Payment.objects.filter(pk=attempt.payment_id).update(user=None, pseudonym=pseudonym)

    succeed(mine)
    succeed(theirs)

    assert Incident.objects.count() == incidents


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_two_concurrent_payments_of_an_order_open_one_incident(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    for number in range(20):
        first = expire(begin(merchant_reference=f"order-{number}"))
        both = [first, only_attempt(begin(merchant_reference=f"order-{number}"))]

        moved = at_once(2, lambda place, both=both: succeed(both[place]))

        assert moved == [True, True]
        assert Incident.objects.count() == number + 1
