"""Each invariant holds of a healthy world, and is reported by its number once the rows are broken behind its back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from django_feexpay import conf
from django_feexpay.models import (
    Attempt,
    Credit,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    WebhookDelivery,
)
from django_feexpay.payments import idempotency, outbox
from django_feexpay.payments.invariants import INVARIANTS, violations
from django_feexpay.payments.ledger import Cause, Source, move
from django_feexpay.payments.lifecycle import Status
from django_feexpay.payments.reconcile import reconcile
from tests.payments.conftest import Begin, Configure
from tests.payments.model_gateway import ModelGateway
from tests.payments.stage import only_attempt

pytestmark = pytest.mark.django_db


def settled(begin: Begin, gateway: ModelGateway, *, approved: bool = True) -> Payment:
    payment = begin(key=a_key())
    charge = gateway.last()
    charge.approve() if approved else charge.decline()
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    payment.refresh_from_db()
    return payment


def a_key() -> idempotency.Key:
    player = get_user_model().objects.get(username="ama")
    return idempotency.Key(user=player, value=uuid4().hex, fingerprint="f" * 64)


def second_attempt(payment: Payment, status: Status) -> Attempt:
    """One more attempt of a payment, with the event it would have been opened by."""
    attempt = only_attempt(payment)
    attempt.pk, attempt.ordinal, attempt.status, attempt.gateway_reference = uuid4(), 2, status, uuid4().hex
    attempt.save(force_insert=True)
    add_event(attempt, "", status)
    return attempt


def add_event(attempt: Attempt, from_status: str, to_status: str) -> None:
    PaymentEvent.objects.create(
        payment_id=attempt.payment_id,
        attempt=attempt,
        from_status=from_status,
        to_status=to_status,
        because="test",
        source=Source.HOST,
        created_at=conf.now(),
    )


def drop_index(name: str) -> None:
    """What keeps the rows right by itself has to be gone before they can be wrong."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"DROP INDEX {name}")


def delivery(reference: str, attempt: Attempt | None, *, minutes_old: int) -> WebhookDelivery:
    return WebhookDelivery.objects.create(
        dedupe_key=uuid4().hex,
        gateway_reference=reference,
        attempt=attempt,
        received_at=conf.now() - timedelta(minutes=minutes_old),
    )


@pytest.fixture
def credited(begin: Begin, gateway: ModelGateway) -> Payment:
    return settled(begin, gateway)


@pytest.fixture
def waiting(begin: Begin, gateway: ModelGateway) -> Payment:
    return begin(key=a_key())


def broken() -> set[str]:
    """The numbers of the invariants that do not hold."""
    return {violation.rule for violation in violations()}


def test_healthy_world_has_no_violation(begin: Begin, gateway: ModelGateway) -> None:
    settled(begin, gateway)
    settled(begin, gateway, approved=False)
    begin(merchant_reference="waiting")
    doubted = begin(merchant_reference="short")
    gateway.last().approve()
    gateway.last().lies["amount"] = 1
    reconcile(only_attempt(doubted).pk, source=Source.WORKER)
    outbox.deliver()

    assert list(violations()) == []
    assert set(Payment.objects.values_list("status", flat=True)) == {"successful", "failed", "pending", "review"}


def test_every_promise_that_rows_can_show_is_checked() -> None:
    assert list(INVARIANTS) == ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I12", "I19"]


def test_i1_reports_a_sum_that_differs(credited: Payment) -> None:
    Credit.objects.update(amount=4999)

    assert list(INVARIANTS["I1"]()) == ["XOF: credited 4999, confirmed 5000"]


def test_i2_reports_a_success_without_credit(credited: Payment) -> None:
    Credit.objects.all().delete()

    assert list(INVARIANTS["I2"]()) == [f"payment {credited.pk}: successful without a credit"]


def test_i2_reports_a_credit_without_success(credited: Payment) -> None:
    Payment.objects.update(status="failed")

    assert list(INVARIANTS["I2"]()) == [f"payment {credited.pk}: failed with a credit"]


def test_i2_reports_a_payment_that_left_its_attempt(waiting: Payment) -> None:
    Payment.objects.update(status="failed")

    assert list(INVARIANTS["I2"]()) == [f"payment {waiting.pk}: failed, its newest attempt pending"]


def test_i2_reports_a_credit_by_a_failed_attempt(credited: Payment) -> None:
    Attempt.objects.update(status="failed")

    assert list(INVARIANTS["I2"]()) == [f"credit {credited.pk}: its attempt is another payment's, or not successful"]


def test_i3_reports_two_live_attempts(waiting: Payment) -> None:
    drop_index("feexpay_one_live_attempt")
    second_attempt(waiting, Status.PENDING)

    assert list(INVARIANTS["I3"]()) == [f"payment {waiting.pk}: 2 live attempts"]


def test_i3_reports_a_reference_held_twice(credited: Payment) -> None:
    drop_index("feexpay_attempt_reference")
    second_attempt(credited, Status.FAILED)
    Attempt.objects.update(gateway_reference="the-same")

    assert list(INVARIANTS["I3"]()) == ["reference the-same: held by 2 attempts"]


def test_i4_reports_a_second_charge_without_incident(credited: Payment) -> None:
    second = second_attempt(credited, Status.SUCCESSFUL)

    assert list(INVARIANTS["I4"]()) == [f"attempt {second.pk}: a second charge, and no incident"]


def test_i4_reports_an_incident_without_second_charge(credited: Payment) -> None:
    attempt = only_attempt(credited)
    Incident.objects.create(
        kind="duplicate_charge", payment=credited, attempt=attempt, opened_at=conf.now(), closed_at=conf.now()
    )

    assert list(INVARIANTS["I4"]()) == [f"attempt {attempt.pk}: an incident, but no second charge"]


def test_i5_reports_a_gap_between_events(waiting: Payment) -> None:
    attempt = only_attempt(waiting)
    add_event(attempt, "unknown", "pending")
    event = PaymentEvent.objects.latest("id")

    assert list(INVARIANTS["I5"]()) == [
        f"attempt {attempt.pk}: event {event.pk} begins at unknown, the one before ended at pending"
    ]


def test_i5_reports_who_left_successful(credited: Payment) -> None:
    attempt = only_attempt(credited)
    add_event(attempt, "successful", "failed")
    Attempt.objects.update(status="failed")

    assert list(INVARIANTS["I5"]()) == ["a move that there is not: successful to failed"]


def test_i5_reports_a_status_without_event(waiting: Payment) -> None:
    attempt = only_attempt(waiting)
    Attempt.objects.update(status="failed")

    assert list(INVARIANTS["I5"]()) == [f"attempt {attempt.pk}: failed, its events end at pending"]


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({}, "no report said successful"),
        ({"word": "pending"}, "no report said successful"),
        ({"reference": "another"}, "the report was about another reference"),
        ({"reference": None}, "the report was about another reference"),
        ({"echo_matches": False}, "the report did not echo the attempt"),
        ({"amount": 4999}, "the report was of 4999, asked for 5000"),
    ],
)
def test_i6_reports_a_credit_without_proof(waiting: Payment, changes: dict[str, object], flaw: str) -> None:
    attempt = only_attempt(waiting)
    proof = {"word": "successful", "reference": attempt.gateway_reference, "echo_matches": True, "amount": 5000}
    evidence = {**proof, **changes} if changes else {}
    move(attempt.pk, Status.SUCCESSFUL, Cause(source=Source.HOST, because="test", evidence=evidence))

    assert list(INVARIANTS["I6"]()) == [f"credit {waiting.pk}: {flaw}"]


def test_i6_accepts_a_review_that_staff_closed_with_a_reason(waiting: Payment) -> None:
    attempt = only_attempt(waiting)
    move(attempt.pk, Status.REVIEW, Cause(source=Source.WORKER, because="test"))
    closed = Cause(source=Source.ADMIN, because="closed", actor="7", note="seen in the account")
    move(attempt.pk, Status.SUCCESSFUL, closed)

    assert list(INVARIANTS["I6"]()) == []


def test_i6_reports_a_credit_of_another_amount(credited: Payment) -> None:
    Credit.objects.update(amount=1)

    assert list(INVARIANTS["I6"]()) == [f"credit {credited.pk}: 1 XOF, asked for 5000 XOF"]


def test_i6_reports_a_credit_by_another_event(credited: Payment) -> None:
    Credit.objects.update(event=PaymentEvent.objects.earliest("id"))

    assert list(INVARIANTS["I6"]()) == [f"credit {credited.pk}: its event is not the success of its attempt"]


@pytest.mark.parametrize("status", ["sending", "pending", "unknown", "review", "expired"])
def test_i7_reports_who_is_forgotten(waiting: Payment, status: str) -> None:
    attempt = only_attempt(waiting)
    Attempt.objects.update(status=status, next_poll_at=None)

    assert list(INVARIANTS["I7"]()) == [f"attempt {attempt.pk}: {status}, next look never"]


def test_i7_reports_a_look_too_far_away(waiting: Payment) -> None:
    Attempt.objects.update(next_poll_at=conf.now() + timedelta(days=2))

    assert broken() == {"I7", "I19"}


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        ("failed", {}),
        ("expired", {"sent_at": None}),
        ("review", {"created_at": datetime(2020, 1, 1, tzinfo=UTC)}),
    ],
)
def test_i7_lets_rest_what_nobody_waits_for(waiting: Payment, status: str, changes: dict[str, object]) -> None:
    Attempt.objects.update(status=status, next_poll_at=None, **changes)

    assert list(INVARIANTS["I7"]()) == []


def test_i8_reports_a_delivery_of_another_attempt(waiting: Payment) -> None:
    attempt = only_attempt(waiting)
    stray = delivery("another-reference", attempt, minutes_old=0)

    assert list(INVARIANTS["I8"]()) == [
        f"delivery {stray.pk}: given to attempt {attempt.pk}, whose reference is another"
    ]


def test_i8_reports_a_delivery_that_nobody_matched(waiting: Payment) -> None:
    reference = str(only_attempt(waiting).gateway_reference)
    old = delivery(reference, None, minutes_old=3)
    delivery(reference, None, minutes_old=1)
    delivery("a stranger's", None, minutes_old=3)

    assert list(INVARIANTS["I8"]()) == [f"delivery {old.pk}: nobody matched it with the attempt it names"]


def test_i9_reports_a_key_of_another_user(waiting: Payment) -> None:
    IdempotencyRecord.objects.update(user=get_user_model().objects.create_user("kofi"))

    record = IdempotencyRecord.objects.get()
    assert list(INVARIANTS["I9"]()) == [f"idempotency record {record.pk}: its payment is another user's"]


def test_i9_reports_an_answer_about_another_payment(waiting: Payment) -> None:
    IdempotencyRecord.objects.update(answer_status=201, answer_body={"id": str(uuid4())})

    record = IdempotencyRecord.objects.get()
    assert list(INVARIANTS["I9"]()) == [f"idempotency record {record.pk}: it answers with another payment"]


def test_i9_reports_a_key_with_two_payments(begin: Begin, gateway: ModelGateway) -> None:
    first, second = begin(key=a_key()), begin(key=a_key())
    Payment.objects.filter(pk=second.pk).update(idempotency_key=first.idempotency_key)

    assert list(INVARIANTS["I9"]()) == [f"payment {second.pk}: its idempotency key leads to another"]


@pytest.mark.parametrize(
    ("break_it", "text"),
    [
        (lambda: OutboxMessage.objects.all().delete(), "no message"),
        (lambda: OutboxMessage.objects.update(next_delivery_at=None), "not told, and not to be told"),
        (lambda: tell_again(), "its success has 2 messages"),
    ],
)
def test_i10_reports_news_that_is_not_told_once(credited: Payment, break_it: Callable[[], object], text: str) -> None:
    break_it()

    [violation] = INVARIANTS["I10"]()
    assert violation.endswith(text)


def tell_again() -> None:
    message = OutboxMessage.objects.get()
    message.pk, message.event_id = None, uuid4()
    message.save(force_insert=True)


def test_i10_reports_a_review_and_a_second_charge_without_message(credited: Payment, begin: Begin) -> None:
    second = second_attempt(credited, Status.SUCCESSFUL)
    Incident.objects.create(kind="duplicate_charge", payment=credited, attempt=second, opened_at=conf.now())
    doubted = only_attempt(begin(merchant_reference="other"))
    add_event(doubted, "pending", "review")

    incident, event = Incident.objects.get(), PaymentEvent.objects.latest("id")
    assert list(INVARIANTS["I10"]()) == [
        f"event {event.pk}: a review, and no message",
        f"incident {incident.pk}: no message",
    ]


def test_i12_reports_another_amount_than_the_payment_says(waiting: Payment) -> None:
    Attempt.objects.update(amount=4999)

    attempt = only_attempt(waiting)
    assert list(INVARIANTS["I12"]()) == [f"attempt {attempt.pk}: asks for 4999, its payment for 5000"]


def test_i12_reports_less_than_the_price(waiting: Payment) -> None:
    Payment.objects.update(charged_amount=4999)
    Attempt.objects.update(amount=4999)

    assert list(INVARIANTS["I12"]()) == [f"payment {waiting.pk}: amount 5000, charged 4999, fee 85"]


def test_i12_knows_what_a_converted_price_comes_to(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
    configure(FEE_PAYER="payer")
    payment = begin(amount=1000, currency="EUR")
    assert list(INVARIANTS["I12"]()) == []

    for charged in (payment.charged_amount - 1, payment.charged_amount + 1):
        Payment.objects.update(charged_amount=charged)
        Attempt.objects.update(amount=charged)
        assert list(INVARIANTS["I12"]()) == [
            f"payment {payment.pk}: its price comes to 6560, charged {charged}, fee 112"
        ]


@pytest.mark.parametrize("changes", [{"exchange_rate": "655.957"}, {"currency": "EUR"}], ids=str)
def test_i12_reports_a_rate_without_need_and_a_need_without_rate(waiting: Payment, changes: dict[str, str]) -> None:
    Payment.objects.update(**changes)

    assert list(INVARIANTS["I12"]()) == [f"payment {waiting.pk}: amount 5000, charged 5000, fee 85"]


def test_violations_name_their_invariant_and_no_msisdn(credited: Payment) -> None:
    Credit.objects.all().delete()
    Attempt.objects.update(status="failed", amount=1)

    assert "01610000" not in "".join(map(str, violations()))
    assert broken() == {"I2", "I5", "I12"}
