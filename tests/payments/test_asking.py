"""What each entry point of `reconcile` asks FeexPay, how long it waits for an answer, and what it writes then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.db.models.signals import pre_save
from pytest_django import DjangoAssertNumQueries

from django_feexpay import log_context
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.gateway.reports import hint_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment, PaymentEvent
from django_feexpay.payments import leases, ledger, otp, reconcile, webhook_hints
from django_feexpay.payments.admission import rate_budget
from django_feexpay.payments.errors import InsideAtomicError
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.reconciliation import history as history_reader
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import Charge, ModelGateway, answer_429, lose_the_answer, lose_the_page
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock, Guard, moves, only_attempt, sweep, sweep_until_final
from tests.payments.watch import Watch

pytestmark = pytest.mark.django_db

PAYER = {"first_name": "Ama", "last_name": "Canary", "email": "canary@example.com"}


@pytest.fixture
def payment(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """PENDING at FeexPay as `ref-0001`."""
    return begin(merchant_reference="order-1")


@pytest.fixture
def credited(payment: Payment, gateway: ModelGateway, clock: Clock) -> Payment:
    gateway.last().approve()
    return sweep_until_final(payment, clock)


@pytest.fixture
def unsent(begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure) -> Payment:
    """CREATED, waits for the worker."""
    configure(DISPATCH="queue")
    return begin(merchant_reference="order-1")


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that a search measures, in seconds; it stands still unless a test moves it."""
    now = [100.0]
    monkeypatch.setattr(history_reader, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def pk(payment: Payment) -> Any:
    return only_attempt(payment).pk


def accept_after_all(payment: Payment, gateway: ModelGateway) -> Charge:
    """FeexPay has it, although we do not know that anyone sent it."""
    attempt = only_attempt(payment)
    gateway.charges.append(Charge("ref-late", str(attempt.pk), "2290161000050", attempt.amount))
    return gateway.last()


# --- deadlines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [reconcile.reconcile, reconcile.ask], ids=["reconcile", "ask"])
@pytest.mark.parametrize(("total_seconds", "deadline"), [(None, 15.0), (2.0, 2.0)])
def test_deadline_of_the_caller_holds_for_the_question(
    entry: Callable[..., Any], total_seconds: float | None, deadline: float, payment: Payment, watch: Watch
) -> None:
    entry(pk(payment), source=Source.API, total_seconds=total_seconds)

    assert watch.asked == [("ref-0001", deadline)]


@pytest.mark.usefixtures("stopwatch")
def test_deadline_of_the_caller_holds_for_a_search_and_the_question_after_it(lost: Payment, watch: Watch) -> None:
    reconcile.reconcile(pk(lost), source=Source.API, total_seconds=2.0)

    assert watch.asked == [("history", 2.0), ("ref-0001", 2.0)]


@pytest.mark.usefixtures("stopwatch")
def test_search_for_a_page_and_its_question_share_the_deadline(page: Payment, watch: Watch) -> None:
    reconcile.reconcile(pk(page), source=Source.API, total_seconds=4.0)

    assert watch.asked == [("history", 2.0), ("card-0001", 2.0)]
    assert Payment.objects.get().status == "successful"


@pytest.mark.usefixtures("stopwatch")
def test_attempt_with_a_code_is_asked_about_by_its_reference_if_no_row_shows_it(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock, watch: Watch
) -> None:
    payment = begin(provider="coris_bj", **PAYER)
    gateway.next_collects = [lose_the_answer]
    otp.submit(payment.pk, "314159", source=Source.API)
    watch.asked.clear()

    reconcile.reconcile(pk(payment), source=Source.API, total_seconds=4.0)

    assert watch.asked == [("history", 2.0), ("ref-0001", 2.0)]
    watch.asked.clear()
    reconcile.reconcile(pk(payment), source=Source.WORKER)
    assert watch.asked == [("history", 15.0), ("ref-0001", 15.0)]


@pytest.mark.parametrize("place", ["lost", "page", "unsent", "credited"])
@pytest.mark.parametrize(
    ("source", "questions"), [(Source.WORKER, 5), (Source.COMMAND, 5), (Source.ADMIN, 1), (Source.API, 1)]
)
def test_search_lasts_25_seconds_or_5_while_a_person_waits(
    place: str,
    source: Source,
    questions: int,
    request: pytest.FixtureRequest,
    gateway: ModelGateway,
    watch: Watch,
    stopwatch: list[float],
) -> None:
    """Each answer takes six seconds, and the history needs many questions."""
    payment = request.getfixturevalue(place)
    gateway.charges[:] = gateway.charges if place == "credited" else []
    gateway.history_total = 9999
    watch.asked.clear()

    def take_six_seconds() -> None:
        stopwatch[0] += 6

    watch.meanwhile = take_six_seconds
    entry = reconcile.find_unsent if place == "unsent" else reconcile.reconcile
    entry(pk(payment), source=source)

    assert watch.names.count("history") == questions


@pytest.mark.parametrize(("place", "total_seconds"), [("lost", 2.0), ("page", 4.0)])
def test_search_ends_at_the_deadline_of_the_caller(
    place: str,
    total_seconds: float,
    request: pytest.FixtureRequest,
    gateway: ModelGateway,
    watch: Watch,
    stopwatch: list[float],
) -> None:
    """Each answer takes a second. A page's search has half of the time."""
    payment = request.getfixturevalue(place)
    gateway.charges.clear()
    gateway.history_total = 9999
    watch.asked.clear()

    def take_a_second() -> None:
        stopwatch[0] += 1

    watch.meanwhile = take_a_second
    reconcile.reconcile(pk(payment), source=Source.API, total_seconds=total_seconds)

    assert watch.asked == [("history", 2.0), ("history", 1.0)]


# --- which questions -------------------------------------------------------------------------------------


def test_second_charges_are_looked_for_after_a_credit_if_nobody_waits(
    payment: Payment, gateway: ModelGateway, clock: Clock, watch: Watch
) -> None:
    def asked_by(entry: Callable[..., Any], **more: Any) -> list[str]:
        watch.asked.clear()
        entry(pk(payment), source=Source.ADMIN, **more)
        return watch.names

    assert asked_by(reconcile.reconcile) == ["ref-0001"]
    gateway.last().approve()
    sweep_until_final(payment, clock)
    assert asked_by(reconcile.reconcile) == ["ref-0001", "history"]
    assert asked_by(reconcile.reconcile, total_seconds=2.0) == ["ref-0001"]
    assert asked_by(reconcile.ask) == ["ref-0001"]
    gateway.reads_unanswered = True
    assert asked_by(reconcile.reconcile) == ["ref-0001"]
    assert only_attempt(payment).next_poll_at == clock.at + leases.AGAIN_AFTER_CREDIT


def test_ask_returns_what_feexpay_said(payment: Payment, gateway: ModelGateway, clock: Clock) -> None:
    def said() -> Word | None:
        report = reconcile.ask(pk(payment), source=Source.ADMIN, actor="7", note="payer rang")
        return report.word if report is not None else None

    assert said() is Word.PENDING
    gateway.reads_unanswered = True
    assert said() is None
    gateway.reads_unanswered = False
    gateway.last().approve()
    assert said() is Word.SUCCESSFUL
    event = payment.events.latest("id")
    assert (event.because, event.source, event.actor, event.note) == ("confirmed", "admin", "7", "payer rang")


def test_ask_tells_that_a_complete_history_lacks_the_payment(lost: Payment, gateway: ModelGateway) -> None:
    gateway.forget(gateway.last())
    asked = reconcile.ask(pk(lost), source=Source.ADMIN)
    assert asked is not None
    assert asked.word is Word.MISSING

    gateway.history_total = 9999
    assert reconcile.ask(pk(lost), source=Source.ADMIN) is None


def test_attempt_that_is_being_sent_is_left_to_its_sender(payment: Payment, watch: Watch) -> None:
    Attempt.objects.update(status="sending")

    assert reconcile.ask(pk(payment), source=Source.ADMIN) is None
    assert watch.asked == []


@pytest.mark.parametrize("entry", [reconcile.reconcile, reconcile.ask], ids=["reconcile", "ask"])
def test_nothing_is_asked_inside_a_transaction(entry: Callable[..., Any], payment: Payment, watch: Watch) -> None:
    with transaction.atomic(), pytest.raises(InsideAtomicError):
        entry(pk(payment), source=Source.ADMIN)

    assert watch.asked == []


def test_question_counts_in_the_rate_budget(payment: Payment, clock: Clock, configure: Configure) -> None:
    configure(GATEWAY_PER_SECOND=1)

    reconcile.ask(pk(payment), source=Source.ADMIN)

    assert rate_budget.wait_seconds(rate_budget.SENDING) == 1


def test_poll_that_moves_nothing_costs_two_queries(
    payment: Payment, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    attempt_id = pk(payment)

    with django_assert_num_queries(2):  # the attempt with its payment and provider, and the next poll
        reconcile.reconcile(attempt_id, source=Source.ADMIN)


# --- claimed attempts --------------------------------------------------------------------------------------


def claim(clock: Clock) -> leases.Claim:
    clock.advance(60)
    [held] = leases.claim_due(5, unsent=False)
    return held


def test_claimed_poll_tells_whether_feexpay_answered(
    payment: Payment, gateway: ModelGateway, clock: Clock, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    held = claim(clock)
    with django_assert_num_queries(1):  # the next poll: the claim has read the attempt and its payment
        assert reconcile.reconcile_claimed(held, source=Source.WORKER) is True
    gateway.reads_unanswered = True
    assert reconcile.reconcile_claimed(claim(clock), source=Source.WORKER) is False
    gateway.reads_unanswered = False
    gateway.last().approve()
    reconcile.reconcile_claimed(claim(clock), source=Source.COMMAND)
    newest = payment.events.latest("id")
    assert (newest.source, newest.actor, newest.note) == ("command", "", "")


def test_claimed_credit_is_checked_for_second_charges_and_polled_no_more(
    credited: Payment, gateway: ModelGateway, clock: Clock, watch: Watch, stopwatch: list[float]
) -> None:
    def poll() -> list[str]:
        watch.asked.clear()
        Attempt.objects.update(next_poll_at=clock.at)
        reconcile.reconcile_claimed(claim(clock), source=Source.WORKER)
        return watch.names

    def take_six_seconds() -> None:
        stopwatch[0] += 6

    assert poll() == ["ref-0001", "history"]
    assert (only_attempt(credited).next_poll_at, only_attempt(credited).poll_count) == (None, 2)
    gateway.history_total = 9999
    watch.meanwhile = take_six_seconds
    assert poll() == ["ref-0001", *["history"] * 5]
    assert only_attempt(credited).next_poll_at == clock.at + leases.AGAIN_AFTER_CREDIT
    gateway.history_total = None
    gateway.reads_unanswered = True
    assert poll()[0] == "ref-0001"
    assert only_attempt(credited).next_poll_at == clock.at + leases.AGAIN_AFTER_CREDIT


@pytest.mark.parametrize(("pause", "wait"), [(7, 7), (300, 300), (3600, 300)])
@pytest.mark.parametrize("which", ["payment", "credited"])
def test_claim_is_released_during_a_pause_of_feexpay_for_five_minutes_at_most(
    pause: int,
    wait: int,
    which: str,
    request: pytest.FixtureRequest,
    begin: Begin,
    gateway: ModelGateway,
    watch: Watch,
    clock: Clock,
) -> None:
    attempt = only_attempt(request.getfixturevalue(which))
    Attempt.objects.update(next_poll_at=clock.at)
    held = claim(clock)
    gateway.next_collects = [answer_429(pause)]
    begin(merchant_reference="order-2")
    watch.asked.clear()

    assert reconcile.reconcile_claimed(held, source=Source.WORKER) is False

    attempt.refresh_from_db()
    assert (watch.asked, attempt.next_poll_at) == ([], clock.at + timedelta(seconds=wait))


# --- an attempt that waits to be sent ------------------------------------------------------------------------


def test_unsent_attempt_that_feexpay_has_becomes_pending_and_is_not_sent(
    unsent: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    accept_after_all(unsent, gateway)
    webhook_hints.receive(hint_from({"reference": "ref-late", "status": "PENDING"}))
    clock.advance(60)

    assert reconcile.find_unsent(pk(unsent), source=Source.COMMAND) is True

    attempt = only_attempt(unsent)
    assert moves(unsent) == ["created", "sending", "unknown", "pending"]
    assert {(event.because, event.source) for event in unsent.events.filter(to_status__in=moves(unsent)[1:])} == {
        ("found_in_history", "command")
    }
    assert (attempt.gateway_reference, attempt.sent_at) == ("ref-late", attempt.created_at)
    assert (attempt.payer_sealed, attempt.sought_by_echo, attempt.next_poll_at) == (None, False, clock.at)
    assert attempt.deliveries.count() == 1
    sweep()
    assert len(gateway.charges) == 1


def test_unsent_page_that_was_paid_is_sought_by_our_id(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_pages = [lose_the_page]
    payment = begin(provider="visa", phone="")
    gateway.pay_on_page().approve()

    assert reconcile.find_unsent(pk(payment), source=Source.WORKER) is True

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.gateway_reference, attempt.sought_by_echo) == ("pending", "card-0001", True)
    assert (attempt.payer_sealed, attempt.next_poll_at) == (None, clock.at)


@pytest.mark.usefixtures("stopwatch")
def test_question_about_an_unsent_page_that_was_paid_credits_it(
    begin: Begin, gateway: ModelGateway, clock: Clock, watch: Watch
) -> None:
    gateway.next_pages = [lose_the_page]
    payment = begin(provider="visa", phone="")
    gateway.pay_on_page(lies={"amount": None}).approve()
    watch.asked.clear()

    assert reconcile.reconcile(pk(payment), source=Source.ADMIN, total_seconds=2.0) is True

    assert moves(payment)[-5:] == ["created", "sending", "unknown", "pending", "successful"]
    assert watch.asked == [("history", 2.0), ("card-0001", 2.0)]


def test_payers_details_are_erased_when_an_unsent_attempt_is_found(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = begin(provider="coris_bj", **PAYER)
    assert only_attempt(payment).payer_sealed is not None
    accept_after_all(payment, gateway)

    assert reconcile.find_unsent(pk(payment), source=Source.WORKER) is True

    assert only_attempt(payment).payer_sealed is None


def test_unsent_attempt_is_absent_only_from_a_complete_history(unsent: Payment, gateway: ModelGateway) -> None:
    assert reconcile.find_unsent(pk(unsent), source=Source.WORKER) is False
    gateway.history_total = 9999
    assert reconcile.find_unsent(pk(unsent), source=Source.WORKER) is None
    gateway.history_total = None
    gateway.reads_unanswered = True
    assert reconcile.find_unsent(pk(unsent), source=Source.WORKER) is None
    assert (moves(unsent), only_attempt(unsent).poll_count) == (["created"], 0)


def test_search_with_a_refused_key_finds_nothing_out(
    unsent: Payment, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_the_key() -> None:
        raise MisconfiguredError("FeexPay refuses the key", code="invalid_api_key")

    watch.meanwhile = refuse_the_key

    assert reconcile.find_unsent(pk(unsent), source=Source.WORKER) is None
    assert f"FeexPay did not answer about attempt {pk(unsent)}: invalid_api_key" in caplog.text


def test_unsent_attempt_that_a_sender_took_meanwhile_stays_with_it(
    unsent: Payment, gateway: ModelGateway, watch: Watch
) -> None:
    accept_after_all(unsent, gateway)
    watch.meanwhile = lambda: ledger.move(pk(unsent), Status.SENDING, Cause(source=Source.WORKER, because="claimed"))

    assert reconcile.find_unsent(pk(unsent), source=Source.ADMIN) is None

    assert moves(unsent) == ["created", "sending"]
    assert only_attempt(unsent).gateway_reference is None


def test_process_that_dies_between_the_moves_of_a_found_attempt_leaves_a_lease(
    unsent: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    class ProcessDiedError(Exception):
        """Stands for the death of the process."""

    def die(instance: PaymentEvent, **_: Any) -> None:
        if instance.to_status == "unknown":
            raise ProcessDiedError

    accept_after_all(unsent, gateway)
    pre_save.connect(die, sender=PaymentEvent)
    try:
        with pytest.raises(ProcessDiedError):
            reconcile.find_unsent(pk(unsent), source=Source.WORKER)
    finally:
        pre_save.disconnect(die, sender=PaymentEvent)

    attempt = only_attempt(unsent)
    assert (attempt.status, attempt.next_poll_at) == ("sending", clock.at + leases.LEASE)


def test_reference_of_an_attempt_that_was_never_sent_proves_that_it_was(
    unsent: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    attempt_id = pk(unsent)
    ledger.move(attempt_id, Status.EXPIRED, Cause(source=Source.WORKER, because="never_sent"))
    accept_after_all(unsent, gateway).approve()
    clock.advance(60)

    assert reconcile.reconcile(attempt_id, source=Source.ADMIN) is True

    attempt = only_attempt(unsent)
    assert (attempt.status, attempt.gateway_reference, attempt.sent_at) == (
        "successful",
        "ref-late",
        attempt.created_at,
    )


def test_search_costs_one_query(unsent: Payment, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    attempt_id = pk(unsent)

    with django_assert_num_queries(1):
        reconcile.find_unsent(attempt_id, source=Source.WORKER)


# --- no answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["payment", "lost"])
def test_23_hours_of_silence_after_the_expiry_lead_to_staff(
    which: str, request: pytest.FixtureRequest, gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = only_attempt(request.getfixturevalue(which))
    gateway.reads_unanswered = True
    if which == "lost":  # else its history is a gap, not silence
        Attempt.objects.update(gateway_reference="ref-0001")
    clock.at = attempt.expires_at + timedelta(hours=23) - timedelta(microseconds=1)

    with caplog.at_level(logging.WARNING, "django_feexpay.payments"):
        assert reconcile.reconcile(attempt.pk, source=Source.COMMAND) is False
    assert only_attempt(attempt.payment).status == attempt.status
    assert f"FeexPay did not answer about attempt {attempt.pk}: outcome_unknown" in caplog.text

    clock.advance(0.000001)
    assert reconcile.reconcile(attempt.pk, source=Source.COMMAND) is False
    event = attempt.payment.events.latest("id")
    assert (event.to_status, event.because, event.source) == ("review", "gateway_silent", "command")


@pytest.mark.parametrize("entry", ["ask", "claimed", "unsent"])
def test_lines_written_while_feexpay_is_asked_are_about_the_attempt(
    entry: str, request: pytest.FixtureRequest, guard: Guard, clock: Clock
) -> None:
    payment = request.getfixturevalue("unsent" if entry == "unsent" else "payment")
    inner, about = guard.inner, []

    def exchange(wire: Any) -> Any:
        about.append(log_context.current().attempt_id)
        return inner.exchange(wire)

    guard.inner = SimpleNamespace(exchange=exchange)
    if entry == "ask":
        reconcile.ask(pk(payment), source=Source.ADMIN)
    elif entry == "claimed":
        reconcile.reconcile_claimed(claim(clock), source=Source.WORKER)
    else:
        reconcile.find_unsent(pk(payment), source=Source.WORKER)

    assert set(about) == {str(pk(payment))}
    assert log_context.current().attempt_id == ""


@pytest.mark.parametrize("entry", [reconcile.reconcile, reconcile.ask])
def test_event_of_a_poll_names_nobody_and_has_no_note_unless_it_is_told(
    entry: Callable[..., Any], payment: Payment, gateway: ModelGateway
) -> None:
    gateway.last().approve()

    entry(pk(payment), source=Source.WORKER)

    newest = payment.events.latest("id")
    assert (newest.to_status, newest.actor, newest.note) == ("successful", "", "")
