"""An unacknowledged attempt is closed once FeexPay's history proves that its request never arrived."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from django_feexpay.gateway.reports import hint_from
from django_feexpay.models import Attempt, Credit, Payment
from django_feexpay.payments import webhook_hints
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.retry import retry
from tests.payments import fake_history
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import Charge, ModelGateway, answer_429, lose_the_answer, refuse_without_charge
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import (
    Clock,
    Recorder,
    moves,
    only_attempt,
    search_until_closed,
    sweep,
    sweep_at_next_poll,
)

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
MAINTENANCE = {"statusCode": 503, "code": "NETWORK_UNAVAILABLE", "message": "maintenance"}


@pytest.fixture
def lost(begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock) -> Payment:
    """A payment whose request never reached FeexPay. We only know that no answer came."""
    gateway.next_collects = [lose_the_answer]
    payment = begin(merchant_reference="order-1")
    gateway.forget(gateway.last())
    return payment


def show(history: FakeHistory, clock: Clock, **changes: Any) -> None:
    """Add a row that may be our payment but does not carry our id."""
    history.rows.append(fake_history.row("unclaimed", clock.at, amount=5000) | changes)


def test_missing_attempt_closes_after_a_day_and_may_be_retried(
    lost: Payment, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    began_at = clock.at

    closed = search_until_closed(clock, lost, every_poll=True)

    attempt = only_attempt(closed)
    assert (closed.status, attempt.reason_code) == ("expired", "never_arrived")
    assert DAY <= clock.at - began_at <= DAY + timedelta(minutes=15)
    assert gateway.charges == []
    assert signals.names() == ["payment_failed"]
    event = closed.events.get(because="never_arrived")
    assert (event.evidence["complete"], event.evidence["unclaimed"]) == (True, 0)
    assert not Payment.objects.for_reading().get(pk=closed.pk).may_still_succeed
    assert retry(closed.pk, source=Source.API).attempt.ordinal == 2
    assert len(gateway.charges) == 1


def test_new_payment_of_the_order_is_allowed_only_after_the_closing(lost: Payment, begin: Begin, clock: Clock) -> None:
    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        begin(merchant_reference="order-1")
    with pytest.raises(NotAllowedError, match="payment_open"):
        retry(lost.pk, source=Source.API)

    search_until_closed(clock, lost)

    assert begin(merchant_reference="order-1").status == "pending"


@pytest.mark.parametrize("answer", [answer_429(30), refuse_without_charge(503, MAINTENANCE)], ids=["429", "503"])
def test_429_or_maintenance_without_a_charge_needs_no_staff(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock, answer: Any, signals: Recorder
) -> None:
    gateway.next_collects = [answer]
    payment = begin()
    assert (payment.status, payment.detail) == ("unknown", "checking")

    closed = search_until_closed(clock, payment)

    assert (closed.status, only_attempt(closed).reason_code) == ("expired", "never_arrived")
    assert moves(closed) == ["sending", "unknown", "expired"]
    assert (gateway.charges, signals.names()) == ([], ["payment_failed"])


def test_one_search_after_a_day_is_not_enough(lost: Payment, clock: Clock) -> None:
    """No worker ran in the meantime."""
    clock.advance(86_400 + 60)
    assert search_now(lost) == "unknown"

    clock.advance(599)
    assert search_now(lost) == "unknown"

    clock.advance(1)
    assert search_now(lost) == "expired"


def search_now(payment: Payment) -> str:
    """Run one search now; return the payment's status."""
    Attempt.objects.filter(payment=payment).update(next_poll_at=payment.created_at)
    sweep()
    payment.refresh_from_db()
    return payment.status


def test_history_with_fewer_rows_than_its_total_closes_nothing(
    lost: Payment, history: FakeHistory, clock: Clock
) -> None:
    history.add(clock.at.date().isoformat(), 501, reseau="MTN")

    closed = search_until_closed(clock, lost)

    assert (closed.status, closed.events.latest("id").because) == ("review", "not_found_in_history")
    assert clock.at - only_attempt(closed).created_at >= DAY


@pytest.mark.parametrize("total", [0, 2, None, "many"])
def test_total_that_differs_from_the_row_count_closes_nothing(
    total: Any, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    begin(merchant_reference="another", phone="0161000077")
    gateway.next_collects = [lose_the_answer]
    payment = begin(merchant_reference="order-1")
    gateway.forget(gateway.last())
    gateway.history_total = total
    if total is None:
        gateway.leaves_out_total = True

    assert search_until_closed(clock, payment).status == "review"


def test_one_unanswered_search_after_a_complete_one_makes_no_review(
    lost: Payment, history: FakeHistory, clock: Clock
) -> None:
    sweep_at_next_poll(clock)
    history.fails_after = len(history.requests)

    while only_attempt(lost).next_poll_at <= lost.created_at + DAY + timedelta(hours=1):
        sweep_at_next_poll(clock)
    assert only_attempt(lost).status == "unknown"
    history.fails_after = None

    assert search_until_closed(clock, lost).status == "expired"


def test_history_without_answers_leads_to_review(lost: Payment, history: FakeHistory, clock: Clock) -> None:
    sweep_at_next_poll(clock)
    history.fails_after = len(history.requests)

    closed = search_until_closed(clock, lost)

    assert (closed.status, closed.events.latest("id").because) == ("review", "not_found_in_history")


# --- payments that could be ours --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"status": "FAILED"},
        {"status": "PENDING"},
        {"callback_info": "order 17"},
        {"callback_info": str(uuid4())},
        {"amount": None},
        {"amount": 5085},  # with the fee
        {"amount": "5000"},
        {"phone_number": None},
        {"phone_number": "+229 01 97 00 00 50"},  # only its last two digits can be compared
        {"reference": None},
    ],
)
def test_unclaimed_similar_payment_leads_to_review_within_minutes(
    changes: dict[str, Any], lost: Payment, history: FakeHistory, clock: Clock, signals: Recorder
) -> None:
    show(history, clock, **changes)
    began_at = clock.at

    closed = search_until_closed(clock, lost)

    assert (closed.status, closed.events.latest("id").because) == ("review", "payment_like_it_in_history")
    assert timedelta(minutes=10) <= clock.at - began_at <= timedelta(minutes=30)
    assert signals.names() == ["payment_needs_review"]


def test_row_with_our_id_and_no_reference_leads_to_review(lost: Payment, history: FakeHistory, clock: Clock) -> None:
    own = str(only_attempt(lost).pk)
    show(history, clock, reference=None, callback_info=own, amount=1, phone_number="2290161000099")

    assert search_until_closed(clock, lost).status == "review"


@pytest.mark.parametrize(
    "changes",
    [{"amount": 4999}, {"phone_number": "2290161000051"}, {"reseau": "MOOV"}],
    ids=["amount", "number", "provider"],
)
def test_payment_of_another_payer_or_amount_is_ignored(
    changes: dict[str, Any], lost: Payment, history: FakeHistory, clock: Clock
) -> None:
    show(history, clock, **changes)

    assert search_until_closed(clock, lost).status == "expired"


@pytest.mark.parametrize("by", ["reference", "echo"])
def test_similar_payment_claimed_by_another_attempt_is_ignored(
    by: str, begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    other = begin(merchant_reference="order-2")
    gateway.last().approve()
    held = only_attempt(other)
    named = {"reference": held.gateway_reference} if by == "reference" else {"callback_info": str(held.pk)}
    show(history, clock, **named)
    gateway.next_collects = [lose_the_answer]
    payment = begin(merchant_reference="order-1")
    gateway.forget(gateway.last())

    assert search_until_closed(clock, payment).status == "expired"


def test_attempt_named_by_a_webhook_is_closed_only_by_staff(lost: Payment, clock: Clock) -> None:
    deliver_webhook(lost)

    closed = search_until_closed(clock, lost)

    assert (closed.status, closed.events.latest("id").because) == ("review", "named_by_webhook_only")


# --- a success after all ----------------------------------------------------------------------------------


def deliver_webhook(payment: Payment) -> None:
    echo = str(only_attempt(payment).pk)
    webhook_hints.receive(hint_from({"reference": "late", "status": "SUCCESSFUL", "callback_info": echo}))


def come_late(payment: Payment, gateway: ModelGateway, history: FakeHistory, clock: Clock) -> None:
    """FeexPay accepted the request after all, and its history shows it only now."""
    attempt = only_attempt(payment)
    charge = Charge("late", str(attempt.pk), "2290161000050", attempt.amount)
    charge.approve()
    gateway.charges.append(charge)
    row = fake_history.row("late", attempt.created_at, amount=attempt.amount, callback_info=str(attempt.pk))
    history.rows.append(row)


def test_late_success_after_the_closing_is_credited(
    lost: Payment, gateway: ModelGateway, history: FakeHistory, clock: Clock, signals: Recorder
) -> None:
    closed = search_until_closed(clock, lost)
    come_late(closed, gateway, history, clock)

    deliver_webhook(closed)
    clock.advance(5)
    sweep()

    closed.refresh_from_db()
    assert closed.status == "successful"
    assert Credit.objects.get().payment == closed
    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_retry_after_the_closing_asks_feexpay_again(
    lost: Payment, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    closed = search_until_closed(clock, lost)
    history.fails_after = 0
    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(closed.pk, source=Source.API)
    history.fails_after = None
    come_late(closed, gateway, history, clock)

    with pytest.raises(NotAllowedError, match="not_retryable"):
        retry(closed.pk, source=Source.API)

    assert (len(gateway.charges), Credit.objects.count()) == (1, 1)


def test_pending_payment_found_after_the_closing_forbids_a_retry(
    lost: Payment, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    closed = search_until_closed(clock, lost)
    come_late(closed, gateway, history, clock)
    gateway.last().status = "PENDING"

    with pytest.raises(NotAllowedError, match="payment_open"):
        retry(closed.pk, source=Source.API)

    assert Payment.objects.for_reading().get(pk=closed.pk).may_still_succeed


def test_closed_attempt_is_searched_daily_for_a_week_then_less_often(
    lost: Payment, history: FakeHistory, clock: Clock
) -> None:
    closed = search_until_closed(clock, lost)
    searched = len(history.requests)

    while clock.at - closed.created_at < 7 * DAY:
        sweep_at_next_poll(clock)
    assert 6 <= len(history.requests) - searched <= 9

    while clock.at - closed.created_at < 70 * DAY:
        sweep_at_next_poll(clock)
    assert only_attempt(closed).next_poll_at > clock.at + 7 * DAY
