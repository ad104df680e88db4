"""Refunds are recorded once, never above what FeexPay took, and by two persons above the limit."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from django_feexpay import exports
from django_feexpay.models import Incident, OutboxMessage, Payment, Refund, StaffAction
from django_feexpay.payments import incidents, outbox, refunds, shop_days, statements
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.statements import Period
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Recorder, only_attempt
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def credited(begin: Begin, gateway: ModelGateway) -> Payment:
    """5 000 F CFA, credited."""
    payment = begin(merchant_reference="order-7")
    gateway.last().approve()
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    payment.refresh_from_db()
    return payment


@pytest.fixture
def charged_again(credited: Payment, gateway: ModelGateway) -> Incident:
    """FeexPay charged the credited attempt a second time, 5 000 F CFA under another reference."""
    gateway.charge_again(gateway.charges[0], "ref-again")
    reconcile(only_attempt(credited).pk, source=Source.ADMIN)
    return Incident.objects.get()


def give(payment: Payment, amount: int = 5000, actor: str = "1", **more: Any) -> Refund:
    values = {"way": "mobile_money", "outside_reference": "OUT-1", "reason": "ticket 7", "source": Source.ADMIN}
    return refunds.record(payment.pk, amount=amount, actor=actor, **(values | more))


def refused(code: str, call: Callable[[], Any]) -> None:
    before = list(Refund.objects.order_by("pk").values())
    with pytest.raises(NotAllowedError) as caught:
        call()
    assert caught.value.code == code
    assert list(Refund.objects.order_by("pk").values()) == before


def close(incident: Incident, resolution: str) -> bool:
    return incidents.close(incident.pk, "done", resolution=resolution, actor="1", source=Source.ADMIN)


def verified() -> list[str]:
    return [str(violation) for violation in violations()]


# --- record --------------------------------------------------------------------------------------------


def test_recorded_refund_is_announced_once_and_audited(credited: Payment, signals: Recorder) -> None:
    refund = give(credited, 2000)
    outbox.deliver()
    outbox.deliver()

    assert (refund.state, refund.credited, refund.gateway_reference) == ("recorded", True, "ref-0001")
    assert signals.names().count("payment_refunded") == 1
    assert OutboxMessage.objects.get(signal="payment_refunded").event_id == refund.event_id
    action = StaffAction.objects.get()
    assert (action.action, action.payment_id, action.reason) == ("refund", credited.pk, "ticket 7")
    assert action.detail == {"amount": 2000, "currency": "XOF", "way": "mobile_money", "state": "recorded"}
    assert verified() == []


def test_refunds_of_a_charge_never_come_to_more_than_was_taken(credited: Payment) -> None:
    give(credited, 3000)

    refused("too_much", lambda: give(credited, 2001))
    give(credited, 2000)
    refused("too_much", lambda: give(credited, 1))

    [charge] = refunds.charges_of(credited.pk)
    assert (charge.taken, charge.recorded, charge.owed, charge.left) == (5000, 5000, 0, 0)
    assert verified() == []


def test_second_charge_has_a_limit_of_its_own(credited: Payment, charged_again: Incident) -> None:
    refund = give(credited, incident_id=charged_again.pk)

    assert (refund.credited, refund.gateway_reference) == (False, "ref-again")
    refused("too_much", lambda: give(credited, 1, incident_id=charged_again.pk))
    give(credited, 5000)
    assert verified() == []


def test_second_payment_of_an_order_has_one_limit_for_its_credit_and_its_incident(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """Both payments of the order are credited: the incident is about the credited charge of the later one."""
    first = begin(merchant_reference="order-7")
    early = gateway.last()
    clock.advance(86_400)
    reconcile(only_attempt(first).pk, source=Source.WORKER)
    second = begin(merchant_reference="order-7")
    for charge, payment in ((early, first), (gateway.last(), second)):
        charge.approve()
        reconcile(only_attempt(payment).pk, source=Source.WORKER)
    incident = Incident.objects.get()
    payment = incident.payment

    give(payment, 4000, incident_id=incident.pk)

    refused("too_much", lambda: give(payment, 1001))
    give(payment, 1000)
    assert close(incident, "refunded") is True
    assert verified() == []


def test_page_that_showed_other_sums_records_nothing(credited: Payment) -> None:
    give(credited, 1000, refunded_before=0)

    refused("refunds_changed", lambda: give(credited, 1000, refunded_before=0))

    assert Refund.objects.get().amount == 1000


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("amount", {"amount": 0}),
        ("amount", {"amount": True}),
        ("way", {"way": "pigeon"}),
        ("outside_reference", {"outside_reference": " "}),
        ("outside_reference", {"outside_reference": "x" * 129}),
        ("reason", {"reason": " "}),
        ("reason", {"reason": "x" * 501}),
    ],
)
def test_wrong_input_is_refused_by_field(credited: Payment, field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(NotAllowedError) as caught:
        give(credited, **changes)

    assert [error.field for error in caught.value.errors] == [field]
    assert Refund.objects.count() == 0


def test_cash_needs_no_reference(credited: Payment) -> None:
    assert give(credited, way="cash", outside_reference="").state == "recorded"


def test_payment_without_a_charge_cannot_be_refunded(begin: Begin, gateway: ModelGateway) -> None:
    refused("nothing_to_refund", lambda: give(begin()))

    assert not Refund.objects.exists()


# --- two persons ---------------------------------------------------------------------------------------


def test_second_person_approves_above_the_limit(credited: Payment, configure: Configure, signals: Recorder) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=4000)
    refund = give(credited, 4001)
    outbox.deliver()
    assert (refund.state, signals.names().count("payment_refunded")) == ("proposed", 0)

    refused("same_person", lambda: refunds.approve(refund.pk, reason="seen", actor="1", source=Source.ADMIN))
    refunds.approve(refund.pk, reason="seen", actor="2", source=Source.ADMIN)
    outbox.deliver()

    refund.refresh_from_db()
    assert (refund.state, refund.approved_by) == ("recorded", "2")
    assert signals.names().count("payment_refunded") == 1
    refused("not_proposed", lambda: refunds.approve(refund.pk, reason="seen", actor="3", source=Source.ADMIN))
    refused("not_proposed", lambda: refunds.cancel(refund.pk, reason="no", actor="3", source=Source.ADMIN))
    assert verified() == []


def test_limit_counts_all_refunds_of_a_charge(credited: Payment, configure: Configure) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=3000)

    assert give(credited, 3000).state == "recorded"
    assert give(credited, 1).state == "proposed"


def test_proposed_refund_counts_until_it_is_cancelled(credited: Payment, configure: Configure) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=0)
    refund = give(credited, 5000)
    refused("too_much", lambda: give(credited, 1))

    refunds.cancel(refund.pk, reason="never sent", actor="1", source=Source.ADMIN)

    assert give(credited, 5000).state == "proposed"
    assert list(StaffAction.objects.order_by("pk").values_list("action", flat=True)) == [
        "refund",
        "cancel_refund",
        "refund",
    ]


# --- two callers at once -------------------------------------------------------------------------------


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_refunds_recorded_at_once_stay_within_what_was_taken(credited: Payment) -> None:
    answers = at_once(8, lambda _: give(credited, 3000))

    assert sorted(getattr(answer, "code", "recorded") for answer in answers) == ["recorded", *["too_much"] * 7]
    assert (Refund.objects.count(), OutboxMessage.objects.filter(signal="payment_refunded").count()) == (1, 1)


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_approvals_at_once_announce_the_refund_once(credited: Payment, configure: Configure) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=0)
    refund = give(credited)

    answers = at_once(
        2, lambda number: refunds.approve(refund.pk, reason="seen", actor=str(number + 2), source=Source.ADMIN)
    )

    assert sorted(getattr(answer, "code", "recorded") for answer in answers) == ["not_proposed", "recorded"]
    assert OutboxMessage.objects.filter(signal="payment_refunded").count() == 1
    assert verified() == []


@pytest.mark.postgres_only
@pytest.mark.parametrize("statement", ["UPDATE feexpay_refund SET amount = 1", "DELETE FROM feexpay_refund"])
def test_recorded_refund_cannot_be_changed_by_sql(credited: Payment, statement: str) -> None:
    give(credited)

    with pytest.raises(Exception, match="as they are"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert Refund.objects.get().amount == 5000


# --- incidents -----------------------------------------------------------------------------------------


def test_incident_ends_as_refunded_only_when_the_refunds_cover_it(credited: Payment, charged_again: Incident) -> None:
    give(credited, 4999, incident_id=charged_again.pk)
    refused("not_refunded", lambda: close(charged_again, "refunded"))
    give(credited, 1, incident_id=charged_again.pk)

    assert close(charged_again, "refunded") is True

    charged_again.refresh_from_db()
    assert (charged_again.resolution, charged_again.closed_by) == ("refunded", "1")
    assert StaffAction.objects.filter(action="close_incident", payment=credited).count() == 1
    assert verified() == []


def test_incident_waits_for_a_proposed_refund(credited: Payment, charged_again: Incident, configure: Configure) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=0)
    give(credited, incident_id=charged_again.pk)

    refused("refund_waits", lambda: close(charged_again, "refunded"))
    refused("refund_waits", lambda: close(charged_again, "kept_as_balance"))

    charged_again.refresh_from_db()
    assert charged_again.closed_at is None


@pytest.mark.parametrize("resolution", ["", "goods_taken_back", "before_refunds"])
def test_incident_ends_only_in_a_way_of_its_kind(charged_again: Incident, resolution: str) -> None:
    refused("validation_error", lambda: close(charged_again, resolution))

    charged_again.refresh_from_db()
    assert (charged_again.closed_at, charged_again.resolution) == (None, "")


def test_incident_ends_without_a_refund_for_a_reason_from_the_list(charged_again: Incident) -> None:
    assert close(charged_again, "kept_as_balance") is True
    assert verified() == []


# --- export --------------------------------------------------------------------------------------------


def test_export_has_the_recorded_refunds_of_a_payment(
    credited: Payment, charged_again: Incident, configure: Configure
) -> None:
    give(credited, 1000)
    give(credited, 5000, incident_id=charged_again.pk)
    configure(REVIEW_TWO_PERSON_ABOVE=0)
    give(credited, 700)

    [row] = exports.rows(Payment.objects.all())

    assert dict(zip(exports.COLUMNS, row, strict=True))["refunded"] == 6000


# --- feexpay_verify ------------------------------------------------------------------------------------


def plant(payment: Payment, **columns: Any) -> Refund:
    """A row that no function would write."""
    attempt = only_attempt(payment)
    values: dict[str, Any] = {
        "payment": payment,
        "attempt": attempt,
        "credited": True,
        "amount": 1000,
        "currency": "XOF",
        "way": "cash",
        "reason": "planted",
        "state": "proposed",
        "source": Source.ADMIN,
        "proposed_by": "1",
        "proposed_at": payment.created_at,
    }
    return Refund.objects.create(**(values | columns))


def recorded(payment: Payment) -> dict[str, Any]:
    event_id = uuid.uuid4()
    OutboxMessage.objects.create(
        event_id=event_id,
        payment=payment,
        signal="payment_refunded",
        next_delivery_at=payment.created_at,
        created_at=payment.created_at,
    )
    return {"state": "recorded", "event_id": event_id, "recorded_at": payment.created_at}


def test_verify_reports_refunds_above_the_credit(credited: Payment) -> None:
    plant(credited, amount=5001)

    assert verified() == [f"I20 attempt {only_attempt(credited).pk}: refunded 5001, credited 5000"]


def test_verify_reports_refunds_above_a_second_charge(credited: Payment, charged_again: Incident) -> None:
    plant(credited, credited=False, incident=charged_again, amount=5001)

    assert verified() == [f"I20 incident {charged_again.pk}: refunded 5001, FeexPay took 5000"]


def test_verify_reports_a_refund_in_another_currency(credited: Payment) -> None:
    refund = plant(credited, currency="XAF")

    assert verified() == [f"I20 refund {refund.pk}: its attempt, incident and currency are not those of its payment"]


def test_verify_reports_a_refund_of_an_attempt_without_a_credit(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin()
    plant(payment)

    assert verified() == [
        f"I20 attempt {only_attempt(payment).pk}: refunded as credited, and it has no credit",
    ]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"resolution": "", "closed_by": "1", "note": "x"}, "closed without a reason"),
        ({"resolution": "taken_back", "closed_by": "1", "note": ""}, "closed without a reason"),
        ({"resolution": "taken_back", "closed_by": "", "note": "x"}, "closed without a person"),
        ({"resolution": "refunded", "closed_by": "1", "note": "x"}, "closed as refunded, 5000 of 5000 are missing"),
        ({"resolution": "taken_back", "closed_at": None}, "open, and it says how it ended"),
    ],
)
def test_verify_reports_an_incident_that_ended_without_a_refund_or_a_reason(
    charged_again: Incident, clock: Clock, columns: dict[str, Any], problem: str
) -> None:
    Incident.objects.update(**({"closed_at": clock.at} | columns))

    assert verified() == [f"I21 incident {charged_again.pk}: {problem}"]


def test_verify_reports_a_large_refund_by_one_person(credited: Payment) -> None:
    plant(credited, two_person_above=1500, **recorded(credited))
    refund = plant(credited, two_person_above=1500, **recorded(credited))

    assert verified() == [f"I22 refund {refund.pk}: 2000 is above 1500, and one person recorded it"]


def test_verify_reports_a_refund_that_was_not_announced(credited: Payment) -> None:
    columns = recorded(credited)
    OutboxMessage.objects.filter(signal="payment_refunded").delete()
    refund = plant(credited, **columns)

    assert verified() == [f"I22 refund {refund.pk}: announced 0 times"]


def test_verify_reports_a_signal_without_a_refund(credited: Payment) -> None:
    recorded(credited)
    message = OutboxMessage.objects.get(signal="payment_refunded")

    assert verified() == [f"I22 message {message.pk}: it announces a refund that is not recorded"]


def test_database_refuses_an_approval_by_the_proposer(credited: Payment) -> None:
    with pytest.raises(Exception, match="feexpay_refund_two_persons"), transaction.atomic():
        plant(credited, approved_by="1", **recorded(credited))


def test_refund_that_feexpay_shows_as_a_reversal_is_in_the_statement_once(
    credited: Payment, gateway: ModelGateway
) -> None:
    """Paid back in FeexPay's dashboard, whose status is then REFUNDED."""
    give(credited, way="gateway")
    gateway.last().status = "REFUNDED"
    reconcile(only_attempt(credited).pk, source=Source.WORKER)
    assert close(Incident.objects.get(), "refunded")

    total = statements.make(Period(shop_days.today(), shop_days.today())).totals["XOF"]

    assert (total.gross, total.refunds, total.reversals) == (5000, 5000, 0)
    assert total.net == -total.fees
