"""An attempt with a lost answer is found in a history of any size, with few questions per search."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_feexpay.models import Attempt, Payment
from django_feexpay.payments.history_search import MAX_QUESTIONS
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, lose_the_answer
from tests.payments.fake_history import FakeHistory, row
from tests.payments.fakes import Clock, moves, only_attempt, search_until_closed, sweep_at_next_poll

pytestmark = pytest.mark.django_db


@pytest.fixture
def lost(begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock) -> Payment:
    """An MTN payment that FeexPay accepted; its answer to us was lost."""
    gateway.next_collects.append(lose_the_answer)
    return begin()


def show(history: FakeHistory, payment: Payment, gateway: ModelGateway, clock: Clock, **changes: object) -> None:
    """Add FeexPay's row of the payment after all other rows."""
    charge = gateway.last()
    own = {"callback_info": charge.echo, "amount": charge.amount}
    history.rows.append(row(charge.reference, clock.at, **own) | changes)


def fill(history: FakeHistory, clock: Clock, count: int, **changes: object) -> None:
    for days in (-1, 0, 1):
        history.add((clock.at + timedelta(days=days)).date().isoformat(), count, **changes)


def test_one_question_is_enough_in_a_small_shop(
    lost: Payment, history: FakeHistory, gateway: ModelGateway, clock: Clock
) -> None:
    fill(history, clock, 10)
    show(history, lost, gateway, clock, status="PENDING")

    sweep_at_next_poll(clock)

    assert only_attempt(lost).gateway_reference == gateway.last().reference
    assert len(history.requests) == 1


def test_payment_is_found_behind_more_rows_than_one_answer_holds(
    lost: Payment, history: FakeHistory, gateway: ModelGateway, clock: Clock
) -> None:
    fill(history, clock, 450)
    fill(history, clock, 450, status="FAILED")
    show(history, lost, gateway, clock, status="PENDING")
    gateway.last().approve()

    sweep_at_next_poll(clock)

    assert moves(lost) == ["sending", "unknown", "pending", "successful"]
    assert len(history.requests) <= MAX_QUESTIONS


def test_paid_row_wins_over_another_row(
    lost: Payment, history: FakeHistory, gateway: ModelGateway, clock: Clock
) -> None:
    show(history, lost, gateway, clock, status="SUCCESSFUL")
    show(history, lost, gateway, clock, status="FAILED", reference="another")

    sweep_at_next_poll(clock)

    assert only_attempt(lost).gateway_reference == gateway.last().reference


def test_absence_from_a_history_with_a_gap_proves_nothing(lost: Payment, history: FakeHistory, clock: Clock) -> None:
    fill(history, clock, 600)

    sweep_at_next_poll(clock)

    attempt = only_attempt(lost)
    assert (attempt.status, attempt.first_empty_search_at) == ("unknown", None)
    assert len(history.requests) <= MAX_QUESTIONS


def test_absence_counts_when_a_split_history_is_complete(lost: Payment, history: FakeHistory, clock: Clock) -> None:
    fill(history, clock, 400)

    sweep_at_next_poll(clock)
    first = only_attempt(lost).first_empty_search_at
    search_until_closed(clock, lost)

    assert first is not None
    assert clock.at - only_attempt(lost).created_at >= timedelta(hours=24)
    attempt = Attempt.objects.get()
    assert (attempt.status, attempt.reason_code) == ("expired", "never_arrived")


def test_absence_counts_when_no_filter_reaches_the_status_or_the_provider(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    """The reader asks status by status, and for reversed payments provider by provider: the history is complete."""
    gateway.next_collects.append(lose_the_answer)
    lost = begin(provider="orange_ml", phone="70 00 00 50")
    fill(history, clock, 400)
    fill(history, clock, 90, reseau="MOOV")
    fill(history, clock, 30, reseau="MOOV", status="REVERSED")

    clock.advance(24 * 3600)
    sweep_at_next_poll(clock)
    clock.advance(600)
    sweep_at_next_poll(clock)

    assert only_attempt(lost).reason_code == "never_arrived"


def test_unanswered_history_is_no_absence(lost: Payment, history: FakeHistory, clock: Clock) -> None:
    history.fails_after = 0

    sweep_at_next_poll(clock)

    attempt = only_attempt(lost)
    assert (attempt.status, attempt.first_empty_search_at) == ("unknown", None)


def test_only_the_days_around_the_sending_are_asked_for(lost: Payment, history: FakeHistory, clock: Clock) -> None:
    sent = clock.at
    clock.advance(9 * 86_400)

    sweep_at_next_poll(clock)

    day = timedelta(days=1)
    assert history.requests[0][:2] == ((sent - day).date().isoformat(), (sent + day).date().isoformat())


@pytest.mark.parametrize("word", ["PENDING", "FAILED"])
def test_search_continues_until_the_paid_row(
    lost: Payment, history: FakeHistory, gateway: ModelGateway, clock: Clock, word: str
) -> None:
    """The other row comes in an earlier answer, as the history of a busy shop is read day by day."""
    fill(history, clock, 300)
    own = {"callback_info": gateway.last().echo, "amount": gateway.last().amount}
    history.rows.append(row("earlier", clock.at - timedelta(days=1), status=word, **own))
    history.rows.append(row(gateway.last().reference, clock.at + timedelta(days=1), status="SUCCESSFUL", **own))
    gateway.last().approve()

    sweep_at_next_poll(clock)

    assert only_attempt(lost).gateway_reference == gateway.last().reference
    assert moves(lost)[-1] == "successful"
