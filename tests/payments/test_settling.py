"""What one poll writes: the status and its reason, the next poll, and an incident about a credit."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from django_feexpay import failpoints
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.gateway.reports import StatusReport, hint_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Incident, Payment
from django_feexpay.payments import leases, ledger, reconcile, webhook_hints
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.retry import retry
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fake_history import FakeHistory, row
from tests.payments.fakes import Clock, only_attempt
from tests.payments.watch import Watch

pytestmark = pytest.mark.django_db

PAYER = {"first_name": "Ama", "last_name": "Canary", "email": "canary@example.com"}
AFTER_CREDIT = timedelta(seconds=30)


@pytest.fixture
def payment(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """PENDING at FeexPay as `ref-0001`."""
    return begin(merchant_reference="order-1")


@pytest.fixture
def never_sent(begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure) -> Payment:
    """Expired before the worker sent it."""
    configure(DISPATCH="queue")
    payment = begin(merchant_reference="order-1")
    ledger.move(only_attempt(payment).pk, Status.EXPIRED, Cause(source=Source.WORKER, because="never_sent"))
    return payment


def poll(payment: Payment, source: Source = Source.ADMIN) -> Attempt:
    """Ask FeexPay once; the newest attempt afterwards."""
    newest = payment.attempts.latest("ordinal")
    reconcile.reconcile(newest.pk, source=source)
    newest.refresh_from_db()
    return newest


# --- the reason ----------------------------------------------------------------------------------------------


def test_reason_stays_in_a_review_and_ends_with_a_success(payment: Payment, gateway: ModelGateway) -> None:
    charge = gateway.last()
    charge.decline()
    assert _reason(poll(payment)) == ("failed", "payer_declined", "APPROVAL_REJECTED")
    charge.status = "PENDING"
    assert _reason(poll(payment)) == ("review", "payer_declined", "APPROVAL_REJECTED")
    charge.approve()
    assert _reason(poll(payment)) == ("successful", "", "")


def test_failure_without_a_reason_has_an_unknown_one(payment: Payment, gateway: ModelGateway) -> None:
    gateway.last().status = "FAILED"

    assert _reason(poll(payment)) == ("failed", "unknown_reason", "")


def test_expiry_is_its_own_reason(payment: Payment, clock: Clock) -> None:
    clock.at = only_attempt(payment).expires_at - timedelta(microseconds=1)
    assert _reason(poll(payment)) == ("pending", "", "")

    clock.at = only_attempt(payment).expires_at
    assert _reason(poll(payment)) == ("expired", "expired", "")


def _reason(attempt: Attempt) -> tuple[str, str, str]:
    return attempt.status, attempt.reason_code, attempt.reason_text


def test_unknown_word_is_an_error_in_the_log_and_another_word_is_none(
    payment: Payment, gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def errors() -> list[str]:
        caplog.clear()
        poll(payment)
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]

    said = f"FeexPay answered with the unknown status 'ON HOLD' about attempt {only_attempt(payment).pk}"
    assert errors() == []
    gateway.last().lies = {"status": "ON HOLD"}
    assert errors() == [said]
    clock.at = only_attempt(payment).expires_at
    assert errors() == [said]
    assert payment.events.latest("id").because == "unknown_word"
    gateway.last().lies = {}
    gateway.last().approve()
    assert errors() == []


def test_event_of_a_settling_names_nobody_and_has_no_note_unless_it_is_told(payment: Payment) -> None:
    assert reconcile.settle(only_attempt(payment), StatusReport(word=Word.FAILED), source=Source.ADMIN) is True

    newest = payment.events.latest("id")
    assert (newest.to_status, newest.actor, newest.note) == ("failed", "", "")


# --- the next poll -------------------------------------------------------------------------------------------


def test_move_and_poll_without_a_move_count_and_plan_the_next_poll(
    payment: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    clock.advance(10)
    assert reconcile.settle(only_attempt(payment), StatusReport(word=Word.PENDING), source=Source.API) is False
    Attempt.objects.update(poll_count=0)
    waiting = poll(payment)
    assert (waiting.poll_count, waiting.next_poll_at is not None and waiting.next_poll_at > clock.at) == (1, True)
    gateway.last().decline()
    failed = poll(payment)
    assert (failed.poll_count, failed.next_poll_at) == (2, clock.at + timedelta(seconds=60))
    gateway.last().approve()
    credited = poll(payment)
    assert (credited.poll_count, credited.next_poll_at) == (3, None)


def test_wait_for_the_next_poll_is_that_of_the_number_of_polls(
    payment: Payment, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(POLL_SECONDS=[5, 40, 70])
    assert poll(payment).next_poll_at == clock.at + timedelta(seconds=40)

    gateway.last().lies = {"amount": 4999}
    gateway.last().approve()
    moved = poll(payment)

    assert (moved.status, moved.next_poll_at) == ("review", clock.at + timedelta(seconds=70))


def test_payers_details_are_erased_with_the_first_move(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin(provider="coris_bj", **PAYER)
    assert only_attempt(payment).payer_sealed is not None
    gateway.last().decline()

    assert poll(payment).payer_sealed is None


@pytest.mark.parametrize(
    ("word", "status", "kept"),
    [("PENDING", "pending", True), ("FAILED", "failed", True), ("SUCCESSFUL", "successful", False)],
)
def test_time_that_a_webhook_wrote_during_the_poll_stays_unless_the_payment_is_credited(
    word: str, status: str, kept: bool, payment: Payment, gateway: ModelGateway, watch: Watch, clock: Clock
) -> None:
    gateway.last().status = word
    soon = clock.at + timedelta(seconds=3)
    watch.meanwhile = lambda: Attempt.objects.update(next_poll_at=soon)

    attempt = poll(payment)

    assert (attempt.status, attempt.next_poll_at) == (status, soon if kept else None)


@pytest.mark.parametrize(("word", "status"), [("FAILED", "pending"), ("SUCCESSFUL", "successful")])
def test_code_that_was_sent_during_the_poll_is_covered_by_a_success_only(
    word: str, status: str, payment: Payment, gateway: ModelGateway, watch: Watch
) -> None:
    gateway.last().status = word
    watch.meanwhile = lambda: Attempt.objects.update(otp_count=1)

    attempt = poll(payment)

    assert (attempt.status, attempt.poll_count) == (status, 1)


def test_credit_is_polled_again_if_a_second_charge_is_possible(
    lost: Payment, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.last().approve()
    assert poll(lost).next_poll_at == clock.at

    plain = begin(merchant_reference="order-2")
    gateway.last().approve()
    assert poll(plain).next_poll_at is None

    named = begin(merchant_reference="order-3")
    gateway.last().approve()
    webhook_hints.receive(hint_from({"reference": "other", "callback_info": str(only_attempt(named).pk)}))
    assert poll(named).next_poll_at == clock.at


def test_failure_named_twice_by_webhooks_is_polled_as_usual(
    payment: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.last().decline()
    webhook_hints.receive(hint_from({"reference": "other", "callback_info": str(only_attempt(payment).pk)}))

    assert poll(payment).next_poll_at == clock.at + timedelta(seconds=60)


@pytest.mark.parametrize(("after_closing", "wait"), [(-1, 31), (0, 0), (1, 0)])
def test_credited_page_is_polled_once_more_when_it_has_closed(
    after_closing: int, wait: int, page: Payment, clock: Clock
) -> None:
    clock.at = only_attempt(page).expires_at + timedelta(seconds=after_closing)

    assert poll(page).next_poll_at == clock.at + timedelta(seconds=wait)


def test_poll_of_a_page_that_is_credited_already_plans_no_other(page: Payment, clock: Clock) -> None:
    poll(page)
    Attempt.objects.update(next_poll_at=None)
    clock.at = only_attempt(page).expires_at + timedelta(days=1)

    assert poll(page).next_poll_at is None


def test_credit_that_a_webhook_contradicts_is_not_moved(payment: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.last().approve()
    attempt = poll(payment)
    webhook_hints.receive(hint_from({"reference": "other", "callback_info": str(attempt.pk)}))
    Attempt.objects.update(next_poll_at=None)

    report = reconcile.ask(attempt.pk, source=Source.ADMIN)

    assert report is not None
    assert only_attempt(payment).next_poll_at is None
    assert reconcile.settle(only_attempt(payment), report, source=Source.ADMIN) is False


def test_test_can_stop_a_poll_after_its_answer_and_after_its_writing(payment: Payment, gateway: ModelGateway) -> None:
    gateway.last().approve()
    seen: list[str] = []

    def look() -> None:
        seen.append(only_attempt(payment).status)

    with failpoints.arm("asked", look), failpoints.arm("settled", look):
        poll(payment)

    assert seen == ["pending", "successful"]


# --- the row of a page ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_row", "lies", "outcome"),
    [
        ({}, {}, "confirmed"),
        ({"currency": "XAF"}, {}, "currency_mismatch"),
        ({"currency": "XAF"}, {"currency": "XOF"}, "confirmed"),
        ({"amount": 4999}, {"amount": None}, "amount_mismatch"),
        ({"amount": 4999}, {"amount": 5000}, "confirmed"),
        ({}, {"callback_info": "another"}, "echo_mismatch"),
    ],
)
def test_row_of_a_page_adds_what_the_status_lacks(
    of_row: dict[str, Any],
    lies: dict[str, Any],
    outcome: str,
    begin: Begin,
    gateway: ModelGateway,
    history: FakeHistory,
    clock: Clock,
) -> None:
    payment = begin(provider="visa", phone="")
    charge = gateway.pay_on_page(lies=lies)
    charge.approve()
    history.rows.append(row("card-0001", clock.at, custom_id=charge.custom_id, amount=5000) | of_row)

    poll(payment)

    assert payment.events.latest("id").because == outcome


def test_declined_card_waits_for_the_missing_part_of_the_history(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """It may show that another card was charged."""
    payment = begin(provider="visa", phone="")
    gateway.pay_on_page().decline()
    gateway.history_total = 9999
    clock.at = only_attempt(payment).expires_at
    waiting = poll(payment)
    assert (waiting.status, waiting.poll_count) == ("pending", 1)

    clock.at = payment.created_at + timedelta(days=1)
    assert poll(payment, Source.COMMAND).status == "review"
    event = payment.events.latest("id")
    assert (event.because, event.source) == ("not_found_in_history", "command")
    gateway.history_total = None
    assert poll(payment).status == "failed"


def test_page_that_was_not_used_expires(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin(provider="visa", phone="")
    clock.at = only_attempt(payment).expires_at

    assert _reason(poll(payment, Source.COMMAND)) == ("expired", "expired", "")

    event = payment.events.latest("id")
    assert (event.because, event.source) == ("page_not_used", "command")


def test_page_that_changed_during_the_search_is_searched_again(
    begin: Begin, gateway: ModelGateway, clock: Clock, watch: Watch
) -> None:
    payment = begin(provider="visa", phone="")
    clock.at = only_attempt(payment).expires_at
    watch.meanwhile = lambda: Attempt.objects.update(otp_count=1)

    attempt = poll(payment)

    assert (attempt.status, attempt.poll_count) == ("pending", 1)


def test_paid_card_needs_no_other_part_of_the_history(page: Payment, gateway: ModelGateway) -> None:
    gateway.history_total = 9999

    assert poll(page).status == "successful"


@pytest.mark.django_db(transaction=True)
def test_page_whose_payment_another_attempt_has_goes_to_staff(
    page: Payment, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    poll(page)
    other = begin(provider="visa", phone="", merchant_reference="order-2")
    again = gateway.pay_on_page()
    again.approve()
    again.reference = "card-0001"

    assert poll(other, Source.COMMAND).status == "review"

    event = other.events.latest("id")
    assert (event.because, event.source) == ("reference_conflict", "command")


# --- credits that FeexPay took back --------------------------------------------------------------------------


def test_reversal_is_written_once_with_its_facts(
    payment: Payment, gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.last().approve()
    attempt = poll(payment)
    clock.advance(3600)
    gateway.last().status = "REVERSED"

    for _ in range(2):
        poll(payment)

    incident = Incident.objects.get()
    assert (incident.kind, incident.attempt, incident.opened_at) == ("reversed_after_credit", attempt, clock.at)
    assert (incident.gateway_reference, incident.credited_reference) == ("ref-0001", "ref-0001")
    assert (incident.amount, incident.currency) == (5000, "XOF")
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == [f"FeexPay took back the money of attempt {attempt.pk}: status 'REVERSED'"]


def test_reversal_of_a_credit_without_a_reference_is_an_incident_too(payment: Payment, gateway: ModelGateway) -> None:
    gateway.last().approve()
    poll(payment)
    Attempt.objects.update(gateway_reference=None)

    reconcile.settle(only_attempt(payment), StatusReport(word=Word.FAILED), source=Source.ADMIN)

    incident = Incident.objects.get()
    assert (incident.gateway_reference, incident.credited_reference) == ("", "")


def test_second_charge_that_was_refunded_is_no_reversal(payment: Payment, gateway: ModelGateway, clock: Clock) -> None:
    """Both attempts were paid; the credit belongs to the first one."""
    gateway.last().decline()
    poll(payment)
    retry(payment.pk, source=Source.API)
    first, second = payment.attempts.order_by("ordinal")
    for attempt in (first, second):
        ledger.move(attempt.pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))
    gateway.last().status = "REFUNDED"

    poll(payment)

    assert Credit.objects.get().attempt == first
    assert [incident.kind for incident in Incident.objects.all()] == ["duplicate_charge"]


# --- absence -------------------------------------------------------------------------------------------------


def test_first_complete_absence_is_noted_for_a_lost_answer(lost: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.forget(gateway.last())
    began_at = clock.at
    assert poll(lost).first_empty_search_at == began_at
    clock.advance(60)
    assert poll(lost).first_empty_search_at == began_at


def test_absence_for_a_day_closes_a_lost_attempt(lost: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.forget(gateway.last())
    poll(lost)
    clock.advance(86_400)

    closed = poll(lost, Source.COMMAND)

    assert _reason(closed) == ("expired", "never_arrived", "")
    event = lost.events.latest("id")
    assert (event.because, event.source, event.evidence["complete"]) == ("never_arrived", "command", True)


def test_attempt_that_was_never_sent_is_polled_no_more_once_the_history_lacks_it(
    never_sent: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.history_total = 9999
    unread = poll(never_sent)
    assert (unread.poll_count, unread.next_poll_at is not None) == (1, True)
    gateway.history_total = None
    absent = poll(never_sent)
    assert (absent.status, absent.poll_count, absent.next_poll_at) == ("expired", 2, None)
    assert absent.first_empty_search_at is None


def test_absence_of_an_attempt_that_was_never_sent_overwrites_nothing_newer(
    never_sent: Payment, begin: Begin, gateway: ModelGateway, watch: Watch, clock: Clock
) -> None:
    other = only_attempt(begin(merchant_reference="order-2"))
    ledger.move(other.pk, Status.EXPIRED, Cause(source=Source.WORKER, because="never_sent"))
    soon = clock.at + timedelta(seconds=3)
    Attempt.objects.filter(pk=other.pk).update(next_poll_at=soon)
    own = Attempt.objects.filter(payment=never_sent)

    watch.meanwhile = lambda: own.update(next_poll_at=soon)  # by a webhook
    attempt = poll(never_sent)
    assert (attempt.poll_count, attempt.next_poll_at) == (1, soon)
    watch.meanwhile = lambda: own.update(status="review")  # by another poll
    attempt = poll(never_sent)
    assert (attempt.poll_count, attempt.next_poll_at) == (1, soon)
    other.refresh_from_db()
    assert (other.poll_count, other.next_poll_at) == (0, soon)


def test_attempt_that_was_sent_is_searched_again(lost: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.forget(gateway.last())

    searched = poll(lost)

    assert (searched.status, searched.poll_count) == ("unknown", 1)
    assert searched.next_poll_at is not None
    assert searched.next_poll_at > clock.at


def test_attempt_that_waits_to_be_sent_keeps_its_time(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    due_at = only_attempt(payment).next_poll_at
    clock.advance(5)

    for answers in (True, False):
        gateway.reads_unanswered = not answers
        attempt = poll(payment)
        assert (attempt.status, attempt.poll_count, attempt.next_poll_at) == ("created", 0, due_at)


@pytest.mark.parametrize("unread", ["cut", "unanswered", "refused"])
def test_doubtful_refusal_is_searched_hourly_while_the_history_cannot_be_read_and_then_goes_to_staff(
    unread: str, begin: Begin, gateway: ModelGateway, watch: Watch, clock: Clock
) -> None:
    def refuse_the_key() -> None:
        raise MisconfiguredError("FeexPay refuses the key", code="invalid_api_key")

    gateway.next_collects = [refuse("SOMETHING_NEW")]
    payment = begin()
    gateway.forget(gateway.last())
    sent_at = only_attempt(payment).sent_at or clock.at
    gateway.history_total, gateway.reads_unanswered = 9999, unread == "unanswered"
    if unread == "refused":
        watch.meanwhile = refuse_the_key

    clock.advance(2 * 3600)
    searched = poll(payment)
    assert (searched.status, searched.next_poll_at) == ("rejected", clock.at + timedelta(hours=1))
    clock.at = sent_at + timedelta(hours=30) - timedelta(microseconds=1)
    assert poll(payment).status == "rejected"
    clock.at = sent_at + timedelta(hours=30)
    reviewed = poll(payment, Source.COMMAND)
    assert (reviewed.status, reviewed.reason_code) == ("review", searched.reason_code)
    event = payment.events.latest("id")
    assert (event.because, event.source) == ("not_found_in_history", "command")


def test_absence_noted_by_a_clock_that_was_ahead_is_corrected(
    lost: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.forget(gateway.last())
    gateway.history_total = 9999
    clock.advance(2 * 86_400)
    Attempt.objects.update(first_empty_search_at=clock.at + timedelta(days=9))

    reviewed = poll(lost)

    assert (reviewed.status, reviewed.first_empty_search_at) == ("review", clock.at)


def test_silence_during_which_a_code_was_sent_leads_to_another_poll(
    payment: Payment, gateway: ModelGateway, watch: Watch, clock: Clock
) -> None:
    gateway.reads_unanswered = True
    clock.at = only_attempt(payment).expires_at + timedelta(hours=23)
    watch.meanwhile = lambda: Attempt.objects.update(otp_count=1)

    attempt = poll(payment)

    assert (attempt.status, attempt.poll_count) == ("pending", 1)


def test_unanswered_question_about_a_credit_is_asked_again_in_a_quarter_of_an_hour(
    payment: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.last().approve()
    poll(payment)
    gateway.reads_unanswered = True
    clock.advance(86_400 * 2)

    attempt = poll(payment)

    assert (attempt.status, attempt.next_poll_at) == ("successful", clock.at + leases.AGAIN_AFTER_CREDIT)


def test_hour_is_the_longest_wait_only_for_a_doubtful_refusal_whose_history_cannot_be_read(
    payment: Payment, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [refuse("SOMETHING_NEW")]
    refused = begin(merchant_reference="order-2")
    gateway.forget(gateway.last())
    clock.advance(2 * 3600)
    assert poll(refused).next_poll_at > clock.at + timedelta(hours=1)  # type: ignore[operator]  # it is planned

    still_refused = only_attempt(refused)
    assert reconcile.settle(still_refused, StatusReport(word=Word.FAILED), source=Source.WORKER) is False
    assert only_attempt(refused).next_poll_at > clock.at + timedelta(hours=1)  # type: ignore[operator]  # it is planned

    ledger.move(only_attempt(payment).pk, Status.EXPIRED, Cause(source=Source.WORKER, because="test"))
    gateway.reads_unanswered = True
    clock.advance(10 * 86_400)
    assert poll(payment).next_poll_at > clock.at + timedelta(hours=1)  # type: ignore[operator]  # it is planned


# --- the reference of a page ---------------------------------------------------------------------------------


def test_newest_reference_of_a_page_counts_until_the_credit(page: Payment, begin: Begin, gateway: ModelGateway) -> None:
    other = begin(provider="visa", phone="", merchant_reference="order-2")

    def recorded(reference: str) -> str | None:
        assert reconcile.record_reference(only_attempt(page), reference, Source.WORKER) is True
        return only_attempt(page).gateway_reference

    assert recorded("card-0009") == "card-0009"
    assert recorded("card-0001") == "card-0001"
    assert poll(page).status == "successful"
    assert recorded("card-0009") == "card-0001"
    Attempt.objects.update(gateway_reference=None)
    assert recorded("card-0001") == "card-0001"
    assert only_attempt(other).gateway_reference is None
