"""The comparison of a period with FeexPay's history finds, stores and asks about each discrepancy once.

The history alone credits nothing. A payment that a gap in the history may hide is not reported missing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.models import Attempt, Comparison, Credit, Discrepancy
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.reconciliation import discrepancies
from django_feexpay.payments.reconciliation import run as comparison_run
from tests.payments import fake_history
from tests.payments.comparing import found, settled, write
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import Charge, ModelGateway, cannot_reach, lose_the_answer, refuse
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock, Guard, moves, only_attempt, sweep

pytestmark = pytest.mark.django_db

Run = Callable[..., Comparison]
DAY = timedelta(days=1)


@pytest.fixture
def day(clock: Clock, history: FakeHistory) -> date:
    """The day on which the test sends its payments."""
    return clock.at.date()


@pytest.fixture
def run(day: date, clock: Clock, history: FakeHistory) -> Run:
    """Compare that day, two days later."""

    def through(first: date = day, last: date = day, **options: Any) -> Comparison:
        clock.at = max(clock.at, clock.at.replace(hour=2) + timedelta(days=(last - clock.at.date()).days + 2))
        return comparison_run.compare(comparison_run.begin(first, last), source=Source.COMMAND, **options)

    return through


# --- agreement ------------------------------------------------------------------------------------------


def test_agreement_writes_no_discrepancy(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    settled(begin, gateway, merchant_reference="one")
    write(history, gateway.last(), day)
    begin(merchant_reference="two")
    write(history, gateway.last(), day)
    begin(merchant_reference="three")
    gateway.last().decline()
    write(history, gateway.last(), day, status="PENDING")

    comparison = run()

    assert found() == []
    assert (comparison.state, comparison.row_count, comparison.compared_count) == ("complete", 3, 3)
    assert comparison.question_count == 1


def test_rows_of_other_systems_are_counted_and_are_no_discrepancy(history: FakeHistory, day: date, run: Run) -> None:
    history.add(day.isoformat(), 3)
    history.add(day.isoformat(), 2, callback_info="order 17")

    comparison = run()

    assert (comparison.foreign_count, comparison.found_count, comparison.state) == (5, 0, "complete")


def test_attempts_of_other_days_are_not_compared(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run, clock: Clock
) -> None:
    begin(merchant_reference="day before")
    clock.advance(86_400)
    settled(begin, gateway, merchant_reference="day after")
    write(history, gateway.last(), day + DAY, status="FAILED")

    comparison = run(day - DAY, day - DAY)

    assert (comparison.found_count, comparison.compared_count) == (0, 0)


@pytest.mark.parametrize("off", [-1, 1])
def test_feexpay_may_use_another_time_zone(
    off: int, begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    settled(begin, gateway)
    write(history, gateway.last(), day + off * DAY)

    assert run().found_count == 0


@pytest.mark.parametrize("answer", [cannot_reach, refuse()])
def test_unacknowledged_attempt_is_not_reported_missing(
    answer: Any, begin: Begin, gateway: ModelGateway, run: Run
) -> None:
    gateway.next_collects = [answer]
    begin()

    assert run().found_count == 0


# --- another status -------------------------------------------------------------------------------------


def test_unknown_success_is_checked_and_credited(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = begin()
    gateway.last().approve()
    write(history, gateway.last(), day)

    comparison = run()

    assert moves(payment) == ["sending", "pending", "successful"]
    assert found() == [("status", "settled", "moved", True)]
    assert (comparison.settled_count, comparison.open_count, comparison.at_stake_count) == (1, 0, 0)
    discrepancy = Discrepancy.objects.get()
    assert (discrepancy.payment, discrepancy.our_status, discrepancy.their_word) == (payment, "pending", "successful")
    assert payment.events.latest("id").note == f"comparison {comparison.pk}"


def test_history_alone_credits_nothing(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    """The history says successful, the status says pending."""
    begin()
    write(history, gateway.last(), day, status="SUCCESSFUL")

    comparison = run()

    assert Credit.objects.count() == 0
    assert found() == [("status", "open", "no_change", True)]
    assert comparison.at_stake_count == 1


def test_failure_in_history_is_checked(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = begin()
    gateway.last().decline()
    write(history, gateway.last(), day)

    run()

    assert moves(payment)[-1] == "failed"
    assert found() == [("status", "settled", "moved", False)]


def test_credit_that_the_history_calls_failed_stays_and_the_discrepancy_is_open(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = settled(begin, gateway)
    write(history, gateway.last(), day, status="FAILED")

    run()

    payment.refresh_from_db()
    assert payment.status == "successful"
    assert found() == [("status", "open", "no_change", True)]


def test_pending_row_of_a_credit_is_settled_by_asking(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    settled(begin, gateway)
    write(history, gateway.last(), day, status="PENDING")

    run()

    assert found() == [("status", "settled", "confirmed", True)]


@pytest.mark.parametrize("expired", [False, True], ids=["waits to be sent", "expired"])
def test_unsent_attempt_in_the_history_is_checked_and_credited(
    expired: bool, begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run, clock: Clock
) -> None:
    gateway.next_collects = [cannot_reach]
    payment = begin()
    if expired:
        clock.advance(900)
        sweep()
    attempt = only_attempt(payment)
    charge = Charge("theirs", str(attempt.pk), "2290161000050", 5000)
    charge.approve()
    gateway.charges.append(charge)
    write(history, charge, day)

    run()

    way = ["expired"] if expired else ["sending", "unknown", "pending"]
    assert moves(payment) == ["sending", "created", *way, "successful"]
    assert Discrepancy.objects.still_open().count() == 0
    assert (Credit.objects.get().attempt, len(gateway.charges)) == (attempt, 1)
    assert only_attempt(payment).sent_at == attempt.created_at


def test_attempt_that_is_being_sent_is_not_compared(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    """The answer to the request brings the reference; the comparison must not write another one."""
    payment = begin()
    write(history, gateway.last(), day, status="SUCCESSFUL")
    Attempt.objects.filter(payment=payment).update(status="sending", gateway_reference=None)

    run()

    assert found() == []
    assert only_attempt(payment).gateway_reference is None


# --- another amount, another row ------------------------------------------------------------------------


def test_other_amount_stays_open_after_asking(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    settled(begin, gateway)
    write(history, gateway.last(), day, amount=4999)

    run()

    assert found() == [("amount", "open", "no_change", True)]
    discrepancy = Discrepancy.objects.get()
    assert (discrepancy.our_amount, discrepancy.their_amount, discrepancy.currency) == (5000, 4999, "XOF")


def test_price_with_fee_is_the_same_amount(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = settled(begin, gateway)
    write(history, gateway.last(), day, amount=5000 + payment.fee)

    assert payment.fee > 0
    assert run().found_count == 0


def test_second_row_of_an_attempt_is_a_discrepancy_of_its_own(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    settled(begin, gateway)
    write(history, gateway.last(), day)
    write(history, gateway.last(), day, reference="second")

    comparison = run()

    assert found() == [("second_row", "open", "no_change", True)]  # FeexPay does not know that reference when asked
    assert (Discrepancy.objects.get().gateway_reference, comparison.compared_count) == ("second", 1)


def test_same_row_in_two_answers_is_no_second_row(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    settled(begin, gateway)
    write(history, gateway.last(), day)
    write(history, gateway.last(), day)
    write(history, gateway.last(), day, reference=gateway.last().reference.upper())

    comparison = run()

    assert (comparison.found_count, comparison.compared_count) == (0, 1)


# --- payment pages --------------------------------------------------------------------------------------


def pay(gateway: ModelGateway, history: FakeHistory, day: date, *, approved: bool) -> Charge:
    """Pay by card on the newest page."""
    charge = gateway.pay_on_page()
    charge.approve() if approved else charge.decline()
    history.rows.append({**charge.row(), "date": f"{day}T10:00:00Z", "reseau": "VISA", "type": "FEEX_LINK"})
    return charge


def test_unpolled_card_payment_is_found_by_our_id_and_credited(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = begin(provider="visa", phone="")
    pay(gateway, history, day, approved=True)

    run()

    assert moves(payment)[-1] == "successful"
    assert Discrepancy.objects.still_open().count() == 0
    assert {kind for kind, *_ in found()} == {"reference", "status"}


def test_refused_card_before_a_charged_one_is_no_discrepancy(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = begin(provider="visa", phone="")
    pay(gateway, history, day, approved=False)
    pay(gateway, history, day, approved=True)
    reconcile(only_attempt(payment).pk, source=Source.WORKER)

    assert moves(payment)[-1] == "successful"
    assert run().found_count == 0


def test_card_charged_after_a_refused_one_is_checked(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = begin(provider="visa", phone="")
    pay(gateway, history, day, approved=False)
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    pay(gateway, history, day, approved=True)

    run()

    assert moves(payment)[-1] == "successful"
    assert Discrepancy.objects.still_open().count() == 0


def test_two_cards_charged_on_one_page_are_a_second_row(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = begin(provider="visa", phone="")
    pay(gateway, history, day, approved=True)
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    pay(gateway, history, day, approved=True)

    run()

    assert moves(payment)[-1] == "successful"
    assert found() == [("second_row", "open", "incident", True)]


# --- missing --------------------------------------------------------------------------------------------


def test_row_with_an_id_like_ours_that_we_do_not_know_is_missing_here(
    history: FakeHistory, day: date, run: Run
) -> None:
    echo = str(uuid4())
    history.rows.append(fake_history.row("theirs", day.isoformat(), callback_info=echo))

    run()

    assert found() == [("missing_here", "open", "", True)]
    assert (Discrepancy.objects.get().echo, Discrepancy.objects.get().gateway_reference) == (echo, "theirs")


def test_lost_reference_is_written_and_the_payment_settled(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    gateway.next_collects = [lose_the_answer]
    payment = begin()
    gateway.last().approve()
    write(history, gateway.last(), day)

    run()

    assert moves(payment) == ["sending", "unknown", "pending", "successful"]
    assert ("reference", "settled", "adopted", True) in found()
    assert Discrepancy.objects.still_open().count() == 0


def test_credit_unknown_to_feexpay_is_an_open_discrepancy(begin: Begin, gateway: ModelGateway, run: Run) -> None:
    settled(begin, gateway)
    gateway.forget(gateway.last())

    comparison = run()

    assert found() == [("missing_there", "open", "no_change", True)]
    assert comparison.at_stake_count == 1


def test_credit_missing_only_in_the_history_is_confirmed_by_asking(
    begin: Begin, gateway: ModelGateway, run: Run
) -> None:
    settled(begin, gateway)

    run()

    assert found() == [("missing_there", "settled", "confirmed", True)]


def test_nothing_is_reported_missing_behind_a_gap(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    settled(begin, gateway)
    history.add((day + DAY).isoformat(), 501, reseau="MTN")

    comparison = run()

    assert found() == []
    assert (comparison.state, comparison.unproven_count, comparison.gap_count) == ("incomplete", 1, 1)
    [gap] = comparison.gaps
    assert (gap["why"], gap["provider"], gap["status"]) == ("cut", "mtn_bj", "successful")


def test_gap_of_another_provider_hides_nothing(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    settled(begin, gateway)
    history.add(day.isoformat(), 501, reseau="MOOV")

    comparison = run()

    assert [kind for kind, *_ in found()] == ["missing_there"]
    assert comparison.state == "incomplete"


def test_nothing_is_reported_missing_without_an_answer(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, run: Run
) -> None:
    settled(begin, gateway)
    history.fails_after = 0

    comparison = run()

    assert found() == []
    assert (comparison.state, comparison.unproven_count) == ("incomplete", 1)
    assert comparison.gaps[0]["why"] == "unanswered"


# --- many rows, many days -------------------------------------------------------------------------------


def test_long_and_busy_period_is_read_completely(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run, clock: Clock
) -> None:
    """40 days with one payment of ours on each day except one, and 501 rows of other systems on some days."""
    for number in range(40):
        settled(begin, gateway, merchant_reference=f"order-{number}")
        if number != 20:
            write(history, gateway.last(), clock.at.date())
        if number % 10 == 0:
            history.add(clock.at.date().isoformat(), 300)
            history.add(clock.at.date().isoformat(), 300, status="FAILED")
        clock.advance(86_400)

    comparison = run(day, day + 39 * DAY)

    assert (comparison.state, comparison.compared_count, comparison.foreign_count) == ("complete", 39, 2400)
    [discrepancy] = Discrepancy.objects.all()
    assert discrepancy.payment is not None
    assert (discrepancy.kind, discrepancy.payment.merchant_reference) == ("missing_there", "order-20")


def test_comparison_asks_about_a_bounded_number_and_makes_the_rest_due(
    begin: Begin,
    gateway: ModelGateway,
    history: FakeHistory,
    day: date,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison_run, "MAX_ASKED", 1)
    for number in range(3):
        begin(merchant_reference=f"order-{number}")
        gateway.last().approve()
        write(history, gateway.last(), day)

    comparison = run()

    assert (comparison.settled_count, comparison.open_count) == (1, 2)
    sweep()
    assert Credit.objects.count() == 3
    assert run().open_count == 0
    assert Discrepancy.objects.still_open().count() == 0


# --- again ----------------------------------------------------------------------------------------------


@pytest.fixture
def amount_discrepancy(begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run) -> Discrepancy:
    """FeexPay's history shows another amount than we credited."""
    settled(begin, gateway)
    write(history, gateway.last(), day, amount=4999)
    run()
    return Discrepancy.objects.get()


def test_discrepancy_found_again_is_the_same_row(amount_discrepancy: Discrepancy, run: Run) -> None:
    again = run()

    row = Discrepancy.objects.get()
    assert (row.pk, row.comparison_id, row.last_comparison_id) == (
        amount_discrepancy.pk,
        amount_discrepancy.comparison_id,
        again.pk,
    )
    assert row.state == "open"


def test_discrepancy_that_is_not_found_again_is_gone(
    amount_discrepancy: Discrepancy, history: FakeHistory, gateway: ModelGateway, day: date, run: Run
) -> None:
    history.rows.clear()
    write(history, gateway.last(), day)

    run()

    assert found() == [("amount", "gone", "no_change", True)]


def test_closed_discrepancy_stays_closed(amount_discrepancy: Discrepancy, run: Run) -> None:
    assert discrepancies.close(amount_discrepancy.pk, "refunded") is True
    assert discrepancies.close(amount_discrepancy.pk, "again") is False

    comparison = run()

    row = Discrepancy.objects.get()
    assert (row.state, row.note, comparison.found_count) == ("closed", "refunded", 0)


def test_closed_discrepancy_opens_again_when_its_facts_change(
    amount_discrepancy: Discrepancy, history: FakeHistory, run: Run
) -> None:
    discrepancies.close(amount_discrepancy.pk, "a typing mistake of theirs")
    history.rows[0]["amount"] = 1

    run()

    assert (Discrepancy.objects.get().state, Discrepancy.objects.get().their_amount) == ("open", 1)


# --- ends -----------------------------------------------------------------------------------------------


def test_report_only_run_asks_nothing_and_changes_nothing(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    payment = begin()
    gateway.last().approve()
    write(history, gateway.last(), day)
    before = gateway.questions

    run(repair=False)

    assert gateway.questions == before
    assert moves(payment)[-1] == "pending"
    assert found() == [("status", "open", "", True)]


def test_stopped_comparison_reports_nothing_missing(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, run: Run
) -> None:
    settled(begin, gateway)

    comparison = run(stop=lambda: bool(history.requests))

    assert (comparison.state, comparison.finished_at, found()) == ("stopped", None, [])


def test_wrong_key_ends_the_comparison(
    begin: Begin, gateway: ModelGateway, guard: Guard, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(begin, gateway)

    def refuse_us(request: Any) -> Any:
        raise MisconfiguredError("wrong key", code="invalid_api_key")

    monkeypatch.setattr(guard, "inner", type("Closed", (), {"exchange": staticmethod(refuse_us)})())

    with pytest.raises(MisconfiguredError):
        run()
    comparison = Comparison.objects.get()
    assert (comparison.state, comparison.gaps[0]["why"], found()) == ("incomplete", "refused", [])


def test_unanswered_question_leaves_the_discrepancy_open_and_the_attempt_due(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run
) -> None:
    begin()
    gateway.last().approve()
    write(history, gateway.last(), day)
    gateway.reads_unanswered = True

    run()

    assert found() == [("status", "open", "no_answer", True)]
    gateway.reads_unanswered = False
    Attempt.objects.update(last_polled_at=None)
    sweep()
    assert Credit.objects.count() == 1


@pytest.mark.parametrize(("first", "last", "why"), [(0, -1, "after the last"), (-1, 0, "not over")])
def test_period_must_run_forward_and_be_over(first: int, last: int, why: str, day: date) -> None:
    with pytest.raises(ValueError, match=why):
        comparison_run.begin(day + first * DAY, day + last * DAY + (DAY if why == "not over" else 0 * DAY))
