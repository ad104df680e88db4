"""Each invariant holds for healthy rows, and a violation is reported by number when a test breaks the rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from django_feexpay import conf
from django_feexpay.gateway.reports import hint_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import (
    Attempt,
    Comparison,
    Discrepancy,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    WebhookDelivery,
)
from django_feexpay.payments import idempotency, outbox, webhook_hints
from django_feexpay.payments.invariants import INVARIANTS, violations
from django_feexpay.payments.ledger import Cause, Source, move
from django_feexpay.payments.reconcile import reconcile
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, now, only_attempt, sweep
from tests.payments.tampering import tamper

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
    """Add one more attempt to a payment, with its opening event."""
    attempt = only_attempt(payment)
    attempt.pk, attempt.ordinal, attempt.status, attempt.gateway_reference = uuid4(), 2, status, uuid4().hex
    attempt.save(force_insert=True)
    add_event(attempt, "", status)
    return attempt


def add_event(attempt: Attempt, from_status: str, to_status: str, because: str = "test") -> None:
    PaymentEvent.objects.create(
        payment_id=attempt.payment_id,
        attempt=attempt,
        from_status=from_status,
        to_status=to_status,
        because=because,
        source=Source.HOST,
        created_at=conf.now(),
    )


def drop_index(name: str) -> None:
    """Drop a database constraint, so that the test can write wrong rows."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"DROP INDEX {name}")


def delivery(reference: str, attempt: Attempt | None, *, minutes_old: int, echoes: bool = False) -> WebhookDelivery:
    return WebhookDelivery.objects.create(
        dedupe_key=uuid4().hex,
        gateway_reference=reference,
        attempt=attempt,
        body={"callback_info": str(attempt.pk)} if attempt and echoes else {},
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


def test_healthy_rows_have_no_violation(begin: Begin, gateway: ModelGateway) -> None:
    settled(begin, gateway)
    settled(begin, gateway, approved=False)
    begin(merchant_reference="waiting")
    start_review = begin(merchant_reference="short")
    gateway.last().approve()
    gateway.last().lies["amount"] = 1
    reconcile(only_attempt(start_review).pk, source=Source.WORKER)
    outbox.deliver()

    assert list(violations()) == []
    assert set(Payment.objects.values_list("status", flat=True)) == {"successful", "failed", "pending", "review"}


def test_every_checkable_invariant_is_listed() -> None:
    assert list(INVARIANTS) == [
        *("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I12"),
        *("I13", "I14", "I15", "I16", "I17", "I18", "I19", "I20", "I21", "I22", "I23", "I24"),
    ]


def test_i1_reports_a_sum_that_differs(credited: Payment) -> None:
    tamper("UPDATE feexpay_credit SET amount = 4999")

    assert list(INVARIANTS["I1"]()) == ["XOF: credited 4999, confirmed 5000"]


def test_i2_reports_a_success_without_credit(credited: Payment) -> None:
    tamper("DELETE FROM feexpay_credit")

    assert list(INVARIANTS["I2"]()) == [f"payment {credited.pk}: successful without a credit"]


def test_i2_reports_a_credit_without_success(credited: Payment) -> None:
    Payment.objects.update(status="failed")

    assert list(INVARIANTS["I2"]()) == [f"payment {credited.pk}: failed with a credit"]


def test_i2_reports_a_status_that_differs_from_the_newest_attempt(waiting: Payment) -> None:
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
    incident(attempt, str(attempt.gateway_reference), closed_at=conf.now())

    assert list(INVARIANTS["I4"]()) == [f"attempt {attempt.pk}: an incident, but no second charge"]


def test_i5_reports_a_gap_between_events(waiting: Payment) -> None:
    attempt = only_attempt(waiting)
    add_event(attempt, "unknown", "pending")
    event = PaymentEvent.objects.latest("id")

    assert list(INVARIANTS["I5"]()) == [
        f"attempt {attempt.pk}: event {event.pk} begins at unknown, the one before ended at pending"
    ]


def test_i5_reports_a_move_out_of_successful(credited: Payment) -> None:
    attempt = only_attempt(credited)
    add_event(attempt, "successful", "failed")
    Attempt.objects.update(status="failed")

    assert list(INVARIANTS["I5"]()) == ["illegal move: successful to failed"]


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
        ({"currency": "XAF"}, "the report was in XAF, asked for XOF"),
    ],
)
def test_i6_reports_a_credit_without_proof(waiting: Payment, changes: dict[str, object], flaw: str) -> None:
    attempt = only_attempt(waiting)
    proof = {"word": "successful", "reference": attempt.gateway_reference, "echo_matches": True, "amount": 5000}
    evidence = {**proof, **changes} if changes else {}
    move(attempt.pk, Status.SUCCESSFUL, Cause(source=Source.HOST, because="test", evidence=evidence))

    assert list(INVARIANTS["I6"]()) == [f"credit {waiting.pk}: {flaw}"]


def test_i6_reports_a_credit_of_another_amount(credited: Payment) -> None:
    tamper("UPDATE feexpay_credit SET amount = 1")

    assert list(INVARIANTS["I6"]()) == [f"credit {credited.pk}: 1 XOF, asked for 5000 XOF"]


def test_i6_reports_a_credit_by_another_event(credited: Payment) -> None:
    tamper("UPDATE feexpay_credit SET event_id = %s", PaymentEvent.objects.earliest("id").pk)

    assert list(INVARIANTS["I6"]()) == [f"credit {credited.pk}: its event is not the success of its attempt"]


@pytest.mark.parametrize("days_old", [0, 8, 400])
@pytest.mark.parametrize("status", ["sending", "pending", "unknown", "review", "expired"])
def test_i7_reports_an_attempt_without_a_next_poll(waiting: Payment, status: str, days_old: int) -> None:
    attempt = only_attempt(waiting)
    Attempt.objects.update(status=status, next_poll_at=None, created_at=attempt.created_at - timedelta(days=days_old))

    assert list(INVARIANTS["I7"]()) == [f"attempt {attempt.pk}: {status}, next poll never"]


def test_i7_reports_a_poll_too_far_ahead(waiting: Payment) -> None:
    Attempt.objects.update(next_poll_at=conf.now() + timedelta(days=2))

    assert broken() == {"I7", "I19"}


@pytest.mark.parametrize(
    ("status", "days_old", "days_ahead", "is_late"),
    [
        ("review", 6, 2, True),
        ("review", 70, 9, False),
        ("review", 70, 11, True),
        ("expired", 70, 9, False),
        ("expired", 70, 11, True),
        ("pending", 70, 2, True),
    ],
)
def test_i7_accepts_a_wait_of_a_seventh_of_the_age(
    waiting: Payment, status: str, days_old: int, days_ahead: int, is_late: bool
) -> None:
    now = conf.now()
    Attempt.objects.update(
        status=status,
        created_at=now - timedelta(days=days_old),
        next_poll_at=now + timedelta(days=days_ahead),
    )

    assert bool(list(INVARIANTS["I7"]())) is is_late


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        ("failed", {}),
        ("expired", {"sent_at": None}),
    ],
)
def test_i7_accepts_final_attempts_without_a_poll(waiting: Payment, status: str, changes: dict[str, object]) -> None:
    Attempt.objects.update(status=status, next_poll_at=None, **changes)

    assert list(INVARIANTS["I7"]()) == []


def test_i8_reports_a_delivery_of_another_attempt(waiting: Payment) -> None:
    attempt = only_attempt(waiting)
    stray = delivery("another-reference", attempt, minutes_old=0)
    text = f"delivery {stray.pk}: matched to attempt {attempt.pk}, which has another reference"

    assert list(INVARIANTS["I8"]()) == [text]


def test_i8_accepts_an_echo_that_came_before_the_reference(waiting: Payment) -> None:
    Attempt.objects.update(gateway_reference=None, status=Status.UNKNOWN)
    delivery("not-known-yet", only_attempt(waiting), minutes_old=0, echoes=True)

    assert list(INVARIANTS["I8"]()) == []


def test_i8_accepts_a_delivery_about_the_first_card_of_a_page(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """Found by `make simulate`: the payer's second card gives the attempt its reference."""
    page = begin(provider="visa", phone="")
    gateway.pay_on_page().decline()
    clock.advance(10)
    sweep()
    webhook_hints.receive(hint_from({"reference": "card-0001", "status": "FAILED"}))
    gateway.pay_on_page().approve()
    clock.advance(10)
    sweep()

    assert only_attempt(page).gateway_reference == "card-0002"
    assert only_attempt(page).deliveries.get().gateway_reference == "card-0001"
    assert list(INVARIANTS["I8"]()) == []


def test_i8_reports_an_unmatched_delivery(waiting: Payment) -> None:
    reference = str(only_attempt(waiting).gateway_reference)
    old = delivery(reference, None, minutes_old=3)
    delivery(reference, None, minutes_old=1)
    delivery("a stranger's", None, minutes_old=3)

    assert list(INVARIANTS["I8"]()) == [f"delivery {old.pk}: not matched to the attempt that it names"]


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
        (lambda: OutboxMessage.objects.update(next_delivery_at=None), "not delivered and not scheduled"),
        (lambda: add_second_message(), "its success has 2 messages"),
    ],
)
def test_i10_reports_a_missing_or_doubled_message(credited: Payment, break_it: Callable[[], object], text: str) -> None:
    break_it()

    [violation] = INVARIANTS["I10"]()
    assert violation.endswith(text)


def add_second_message() -> None:
    message = OutboxMessage.objects.get()
    message.pk, message.event_id = None, uuid4()
    message.save(force_insert=True)


def test_i10_reports_a_review_and_a_second_charge_without_message(credited: Payment, begin: Begin) -> None:
    second = second_attempt(credited, Status.SUCCESSFUL)
    untold = incident(second, str(second.gateway_reference))
    start_review = only_attempt(begin(merchant_reference="other"))
    add_event(start_review, "pending", "review")

    event = PaymentEvent.objects.latest("id")
    assert list(INVARIANTS["I10"]()) == [
        f"event {event.pk}: a review, and no message",
        f"incident {untold.pk}: no message",
    ]


def incident(attempt: Attempt, reference: str, *, kind: str = "duplicate_charge", **columns: Any) -> Incident:
    """An incident without its signal."""
    charge = {"gateway_reference": reference, "amount": 5000, "currency": "XOF", "opened_at": conf.now()}
    return Incident.objects.create(kind=kind, payment_id=attempt.payment_id, attempt=attempt, **{**charge, **columns})


@pytest.mark.parametrize("reference", ["", "THEIRS"], ids=["none", "of another attempt"])
def test_i4_reports_an_incident_about_no_second_charge(credited: Payment, begin: Begin, reference: str) -> None:
    Attempt.objects.filter(payment=begin(merchant_reference="other")).update(gateway_reference="theirs")
    wrong = incident(only_attempt(credited), reference)

    assert list(INVARIANTS["I4"]()) == [
        f"incident {wrong.pk}: {reference or 'no reference'} is no second charge of its attempt"
    ]


def test_i4_accepts_a_second_charge_that_no_attempt_holds(credited: Payment) -> None:
    incident(only_attempt(credited), "beside")

    assert list(INVARIANTS["I4"]()) == []


def test_i4_reports_a_confirmed_second_charge_without_incident(credited: Payment) -> None:
    row = discrepancy(only_attempt(credited), kind="second_row", gateway_reference="beside", outcome="incident")
    assert list(INVARIANTS["I4"]()) == [
        f"discrepancy {row.pk}: FeexPay confirmed a second charge, and there is no incident"
    ]

    incident(only_attempt(credited), "BESIDE")

    assert list(INVARIANTS["I4"]()) == []


def test_i8_accepts_a_delivery_of_another_charge_that_echoes_the_attempt(credited: Payment) -> None:
    delivery("beside", only_attempt(credited), minutes_old=0, echoes=True)

    assert list(INVARIANTS["I8"]()) == []


@pytest.mark.parametrize("kind", ["duplicate_charge", "reversed_after_credit"])
def test_i15_reports_an_incident_without_signal(credited: Payment, kind: str) -> None:
    incident(only_attempt(credited), "beside", kind=kind)

    assert list(INVARIANTS["I15"]()) == [f"payment {credited.pk}: 1 incidents {kind}, announced 0 times"]


def test_i15_reports_a_signal_without_its_incident(credited: Payment) -> None:
    OutboxMessage.objects.create(
        payment=credited, signal="payment_reversed", next_delivery_at=conf.now(), created_at=conf.now()
    )

    assert list(INVARIANTS["I15"]()) == [f"payment {credited.pk}: 0 incidents reversed_after_credit, announced 1 times"]


def test_i15_reports_a_reversal_without_credit(waiting: Payment) -> None:
    wrong = incident(only_attempt(waiting), "ref-0001", kind="reversed_after_credit")

    assert f"incident {wrong.pk}: its attempt was never credited" in list(INVARIANTS["I15"]())


def discrepancy(attempt: Attempt, **columns: Any) -> Discrepancy:
    """A discrepancy found by a comparison of the attempt's day."""
    now, day = conf.now(), (attempt.sent_at or attempt.created_at).astimezone(UTC).date()
    seen = Comparison.objects.create(first_day=day, last_day=day, started_at=now, beat_at=now)
    values = {"kind": "status", "identity": uuid4().hex, "found_at": now, "comparison": seen, "last_comparison": seen}
    return Discrepancy.objects.create(attempt=attempt, payment_id=attempt.payment_id, **{**values, **columns})


@pytest.mark.parametrize(("days", "is_fine"), [(0, True), (-1, False), (1, False)])
def test_i16_reports_a_discrepancy_ended_by_a_comparison_of_other_days(
    waiting: Payment, days: int, is_fine: bool
) -> None:
    row = discrepancy(only_attempt(waiting), state="gone", money_at_stake=True)
    ended_by = row.comparison
    ended_by.first_day += timedelta(days=days)
    ended_by.last_day += timedelta(days=days)
    ended_by.save()
    Discrepancy.objects.update(ended_by=ended_by)

    text = f"discrepancy {row.pk}: ended by comparison {ended_by.pk}, which is about other days"
    assert list(INVARIANTS["I16"]()) == ([] if is_fine else [text])


def test_i12_reports_an_attempt_amount_that_differs_from_its_payment(waiting: Payment) -> None:
    Attempt.objects.update(amount=4999)

    attempt = only_attempt(waiting)
    assert list(INVARIANTS["I12"]()) == [f"attempt {attempt.pk}: asks for 4999, its payment for 5000"]


def test_i12_reports_less_than_the_price(waiting: Payment) -> None:
    Payment.objects.update(charged_amount=4999)
    Attempt.objects.update(amount=4999)

    assert list(INVARIANTS["I12"]()) == [f"payment {waiting.pk}: amount 5000, charged 4999, fee 85"]


def test_i12_checks_the_converted_price(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
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
def test_i12_reports_a_needless_or_a_missing_rate(waiting: Payment, changes: dict[str, str]) -> None:
    Payment.objects.update(**changes)

    assert list(INVARIANTS["I12"]()) == [f"payment {waiting.pk}: amount 5000, charged 5000, fee 85"]


def test_violations_name_their_invariant_and_no_msisdn(credited: Payment) -> None:
    tamper("DELETE FROM feexpay_credit")
    Attempt.objects.update(status="failed", amount=1)

    assert "01610000" not in "".join(map(str, violations()))
    assert broken() == {"I2", "I5", "I12"}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"next_delivery_at": 3700}, "not delivered, next delivery "),
        ({"next_delivery_at": 600, "delivery_count": 4}, "no error stored after 4 deliveries"),
        ({"next_delivery_at": 125, "delivery_count": 1}, "no error stored after 1 deliveries"),
        ({"next_delivery_at": 5, "delivered_at": 0}, "delivered, and scheduled again"),
    ],
    ids=["delayed too long", "given up without an error", "beyond a lease", "delivered and still due"],
)
def test_i17_reports_a_message_that_is_not_delivered_as_promised(
    credited: Payment, values: dict[str, Any], problem: str
) -> None:
    at = {name: now() + timedelta(seconds=value) for name, value in values.items() if name.endswith("_at")}
    OutboxMessage.objects.update(delivered_at=None)
    OutboxMessage.objects.update(**{**values, **at})

    [told] = INVARIANTS["I17"]()

    assert told.startswith(f"message {OutboxMessage.objects.get().pk}: {problem}")


def test_i17_accepts_a_lease_of_a_process_whose_clock_is_ahead(credited: Payment) -> None:
    """Found by `make simulate`: the clock was set back by 55 s while a message was being delivered."""
    lease = now() + outbox.LEASE + timedelta(seconds=55)
    OutboxMessage.objects.update(delivered_at=None, delivery_count=1, next_delivery_at=lease)

    assert list(INVARIANTS["I17"]()) == []
