"""Reconcile an attempt: only FeexPay's authenticated answer moves money, in any order of answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.gateway.reports import StatusReport
from django_feexpay.models import Attempt, Credit, Payment
from django_feexpay.payments import ledger, reconcile
from django_feexpay.payments.ledger import Source
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, lose_the_answer, refuse
from tests.payments.fakes import (
    Clock,
    Recorder,
    moves,
    only_attempt,
    search_until_closed,
    sweep,
    sweep_at_next_poll,
    sweep_until_final,
)

pytestmark = pytest.mark.django_db

EXPIRY = 900


def test_approved_payment_is_credited_and_announced_once(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = begin()
    gateway.last().approve()

    sweep_until_final(payment, clock)

    credit = Credit.objects.get(payment=payment)
    assert (credit.amount, credit.currency) == (5000, "XOF")
    assert signals.names() == ["payment_succeeded"]
    assert only_attempt(payment).next_poll_at is None


def test_declined_payment_is_failed_with_its_reason(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = begin()
    gateway.last().decline()

    sweep_until_final(payment, clock)

    attempt = only_attempt(payment)
    assert (payment.status, payment.detail) == ("failed", "declined")
    assert (attempt.reason_code, attempt.reason_text) == ("payer_declined", "APPROVAL_REJECTED")
    assert attempt.next_poll_at == clock.at + timedelta(seconds=60)
    assert signals.names() == ["payment_failed"]


def test_credit_event_keeps_the_evidence(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.last().approve()
    sweep_until_final(payment, clock)

    assert payment.credit.event.evidence == {
        "word": "successful",
        "reference": "ref-0001",
        "echo_matches": True,
        "amount": 5000,
        "currency": None,
        "asked_for": 5000,
        "fee": 85,
    }


@pytest.mark.parametrize(
    ("lies", "because"),
    [
        ({"amount": 4999}, "amount_mismatch"),
        ({"currency": "XAF"}, "currency_mismatch"),
        ({"currency": 952}, "currency_mismatch"),
        ({"callback_info": "someone-else"}, "echo_mismatch"),
        ({"callback_info": None}, "echo_missing"),
        ({"reference": "ref-9999"}, "reference_mismatch"),
        ({"phoneNumber": "2290161000051"}, "msisdn_mismatch"),
    ],
)
def test_success_with_a_wrong_fact_goes_to_review_without_credit(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder, lies: dict[str, Any], because: str
) -> None:
    payment = begin()
    gateway.last().approve()
    gateway.last().lies = lies

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, payment.public_status) == ("review", "pending")
    assert payment.events.get(to_status="review").because == because
    assert signals.names() == ["payment_needs_review"]
    assert not Credit.objects.exists()


def test_review_is_credited_when_the_report_agrees_again(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = begin()
    gateway.last().approve()
    gateway.last().lies = {"amount": 4999}
    sweep_at_next_poll(clock)
    gateway.last().lies = {}

    sweep_until_final(payment, clock)

    assert payment.status == "successful"
    assert signals.names() == ["payment_needs_review", "payment_succeeded"]


def test_unknown_feexpay_status_changes_nothing_and_logs_an_error(
    begin: Begin, gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    payment = begin()
    gateway.last().lies = {"status": "ON HOLD"}

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert payment.status == "pending"
    assert "'ON HOLD'" in caplog.text


def test_unconfirmed_payment_expires_on_time(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    started_at = clock.at
    payment = sweep_until_final(begin(), clock)

    assert (payment.status, payment.detail) == ("expired", "expired")
    assert clock.at == started_at + timedelta(seconds=EXPIRY)
    assert only_attempt(payment).reason_code == "expired"
    assert signals.names() == ["payment_failed"]


@pytest.mark.parametrize("late_by", [1, 86_400, 6 * 86_400])
def test_success_after_expiry_is_credited_late(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder, late_by: int
) -> None:
    payment = sweep_until_final(begin(), clock)
    clock.advance(late_by)
    gateway.last().approve()

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert payment.status == "successful"
    assert only_attempt(payment).reason_code == ""
    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_failure_that_turns_into_a_success_is_credited(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = begin()
    gateway.last().decline()
    sweep_until_final(payment, clock)
    gateway.last().approve()

    clock.advance(60)
    sweep()

    assert Payment.objects.get().status == "successful"
    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_failure_is_polled_four_more_times(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.last().decline()
    sweep_until_final(payment, clock)
    failed_at, seen = clock.at, []

    while (look := only_attempt(payment).next_poll_at) is not None:
        seen.append((look - failed_at).total_seconds())
        clock.advance_to(look)
        sweep()

    assert seen == [60, 600, 3600, 86_400]


def test_reversal_keeps_the_credit_and_opens_an_incident(
    begin: Begin, gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    payment = begin()
    gateway.last().approve()
    sweep_until_final(payment, clock)
    gateway.last().decline()

    assert reconcile.reconcile(only_attempt(payment).pk, source=Source.ADMIN) is True

    assert Payment.objects.get().status == "successful"
    assert [incident.kind for incident in payment.incidents.all()] == ["reversed_after_credit"]
    assert "took back the money" in caplog.text


@pytest.mark.parametrize("word", ["PENDING", "ON HOLD"])
def test_pending_report_changes_no_credited_payment(
    begin: Begin, gateway: ModelGateway, clock: Clock, word: str
) -> None:
    payment = begin()
    gateway.last().approve()
    sweep_until_final(payment, clock)
    gateway.last().lies = {"status": word}

    reconcile.reconcile(only_attempt(payment).pk, source=Source.ADMIN)

    assert Payment.objects.get().status == "successful"
    assert payment.incidents.count() == 0


def test_gateway_without_an_answer_changes_nothing(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.reads_unanswered = True
    clock.advance(EXPIRY)

    sweep()

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.poll_count) == ("pending", 1)
    assert attempt.next_poll_at is not None
    assert attempt.next_poll_at > clock.at


def test_event_names_the_person_and_the_reason(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.last().approve()

    reconcile.reconcile(only_attempt(payment).pk, source=Source.ADMIN, actor="7", note="payer rang")

    event = payment.events.get(to_status="successful")
    assert (event.source, event.actor, event.note) == ("admin", "7", "payer rang")


def test_attempt_that_is_being_sent_is_not_asked_about(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    Attempt.objects.filter(payment=payment).update(status="sending", sent_at=clock.at)

    assert reconcile.reconcile(only_attempt(payment).pk, source=Source.ADMIN) is False
    assert gateway.questions == 0


def test_settling_a_stale_attempt_changes_nothing(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """Another poll wrote a newer status meanwhile."""
    payment = begin()
    old_copy = Attempt.objects.select_related("payment").get(payment=payment)
    gateway.last().approve()
    sweep_until_final(payment, clock)

    moved = reconcile.settle(old_copy, StatusReport(word=Word.FAILED), source=Source.WORKER)

    assert moved is False
    assert moves(payment) == ["sending", "pending", "successful"]
    assert only_attempt(payment).next_poll_at is None


# --- an answer that was lost ----------------------------------------------------------------------------


def test_lost_payment_is_found_by_its_echo_and_becomes_pending(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    begin(merchant_reference="another payer's")
    gateway.next_collects.append(lose_the_answer)
    payment = begin(merchant_reference="ours")

    sweep_at_next_poll(clock)

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.gateway_reference) == ("pending", "ref-0002")


def test_absence_from_a_cut_history_proves_nothing(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    gateway.forget(gateway.last())
    gateway.history_total = 501

    for _ in range(12):
        sweep_at_next_poll(clock)

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.first_empty_search_at) == ("unknown", None)


def test_lost_payment_with_a_cut_history_goes_to_review_after_a_day(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    """A shop with more than 500 payments in the period would otherwise leave its payer waiting for ever."""
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    gateway.forget(gateway.last())
    gateway.history_total = 501

    clock.advance(86_400 + 1)
    sweep()

    payment.refresh_from_db()
    assert payment.status == "review"
    assert signals.names() == ["payment_needs_review"]


def test_lost_payment_in_review_is_still_found(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    charge = gateway.last()
    gateway.forget(charge)
    gateway.history_total = 501
    search_until_closed(clock, payment)
    charge.approve()
    gateway.charges.append(charge)

    assert sweep_until_final(payment, clock).status == "successful"


def test_paid_row_wins_over_another_row_with_our_echo(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects += [lose_the_answer, refuse()]
    payment = begin(merchant_reference="ours")
    begin(merchant_reference="theirs")
    gateway.charges[1].echo = gateway.charges[0].echo
    gateway.charges[1].approve()

    sweep_at_next_poll(clock)

    assert only_attempt(payment).gateway_reference == "ref-0002"


def test_late_search_asks_for_at_most_31_days(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()

    clock.advance(40 * 86_400)
    sweep()

    assert only_attempt(payment).gateway_reference == "ref-0001"


def test_other_integrity_errors_are_raised(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> bool:
        raise IntegrityError("another rule")

    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    monkeypatch.setattr(ledger, "move", broken)
    clock.advance(6)

    with pytest.raises(IntegrityError, match="another rule"):
        reconcile.reconcile(only_attempt(payment).pk, source=Source.WORKER)


# --- polls by a status read -----------------------------------------------------------------------------


def test_status_read_polls_a_due_attempt_once(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    attempt = only_attempt(begin())
    clock.advance(5)
    gateway.last().approve()

    assert reconcile.reconcile_if_due(attempt, source=Source.API, total_seconds=2) is True
    assert reconcile.reconcile_if_due(attempt, source=Source.API, total_seconds=2) is False

    assert gateway.questions == 1
    assert Payment.objects.get().status == "successful"


def test_status_read_does_not_poll_before_the_attempt_is_due(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    attempt = only_attempt(begin())

    assert reconcile.reconcile_if_due(attempt, source=Source.API, total_seconds=2) is False
    assert gateway.questions == 0


def test_status_read_leaves_a_lost_reference_to_the_worker(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(lose_the_answer)
    attempt = only_attempt(begin())
    clock.advance(60)

    assert reconcile.reconcile_if_due(attempt, source=Source.API, total_seconds=2) is False
    assert gateway.questions == 0


def test_day_without_an_answer_leads_to_review_and_a_later_answer_settles(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    gateway.last().approve()
    gateway.reads_unanswered = True
    while Payment.objects.get().status == "pending":
        sweep_at_next_poll(clock)

    assert clock.at - payment.created_at <= timedelta(hours=24)
    assert payment.events.latest("id").because == "gateway_silent"

    gateway.reads_unanswered = False
    sweep_at_next_poll(clock)
    assert moves(payment) == ["sending", "pending", "review", "successful"]


def test_hours_without_an_answer_lead_to_no_review(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.reads_unanswered = True
    while clock.at - payment.created_at < timedelta(hours=22):
        sweep_at_next_poll(clock)

    assert Payment.objects.get().status == "pending"
    gateway.reads_unanswered = False
    sweep_at_next_poll(clock)
    assert Payment.objects.get().status == "expired"
