"""A reversal of a credited payment is confirmed by asking and announced once; the credit stays."""

from __future__ import annotations

import pytest

from django_feexpay import failpoints
from django_feexpay.gateway.reports import hint_from
from django_feexpay.models import Credit, Discrepancy, Incident, OutboxMessage, Payment, StaffAction
from django_feexpay.payments import incidents, leases, webhook_hints
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.reconciliation import run
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import (
    Clock,
    Recorder,
    close_incident,
    moves,
    only_attempt,
    sweep,
    sweep_at_next_poll,
    sweep_until_final,
)
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db

TAKEN_BACK = ["FAILED", "REVERSED", "REFUNDED", "CANCELLED", "CANCELED", " reversed "]


@pytest.fixture(autouse=True)
def noon(clock: Clock) -> None:
    """An hour later is still the same day."""
    clock.at = clock.at.replace(hour=12)


@pytest.fixture
def credited(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """A mobile-money payment, credited by `ref-0001` an hour ago."""
    payment = begin(merchant_reference="order-1")
    gateway.last().approve()
    sweep_until_final(payment, clock)
    clock.advance(3600)
    return payment


def deliver_webhook(word: str, reference: str = "ref-0001", **body: object) -> None:
    webhook_hints.receive(hint_from({"reference": reference, "status": word} | body))


def reversals() -> list[tuple[str, str, int | None, str]]:
    names = ("gateway_reference", "credited_reference", "amount", "currency")
    rows = Incident.objects.filter(kind="reversed_after_credit").order_by("pk")
    return [tuple(row) for row in rows.values_list(*names)]  # type: ignore[misc]


def is_still_credited(payment: Payment) -> bool:
    payment.refresh_from_db()
    return (payment.status, moves(payment)[-1], Credit.objects.count()) == ("successful", "successful", 1)


@pytest.mark.parametrize("word", TAKEN_BACK)
def test_reversal_named_by_a_webhook_is_checked_and_announced(
    signals: Recorder, credited: Payment, gateway: ModelGateway, clock: Clock, word: str
) -> None:
    gateway.last().status = word

    deliver_webhook(word)
    assert only_attempt(credited).next_poll_at == clock.at
    sweep()

    assert reversals() == [("ref-0001", "ref-0001", 5000, "XOF")]
    assert signals.names() == ["payment_succeeded", "payment_reversed"]
    assert is_still_credited(credited)
    assert only_attempt(credited).next_poll_at is None
    assert list(violations()) == []


@pytest.mark.parametrize("word", ["FAILED", "REVERSED", "REFUNDED", "CANCELLED"])
def test_nightly_comparison_finds_a_reversal_without_a_webhook(
    signals: Recorder, credited: Payment, gateway: ModelGateway, clock: Clock, word: str
) -> None:
    gateway.last().status = word
    day = clock.at.date()
    clock.advance(2 * 86_400)

    comparison = run.compare(run.begin(day, day), source=Source.WORKER)
    sweep()

    assert len(reversals()) == 1
    assert signals.names() == ["payment_succeeded", "payment_reversed"]
    row = Discrepancy.objects.get()
    assert (row.kind, row.state, row.outcome, row.money_at_stake) == ("status", "open", "incident", True)
    assert (comparison.open_count, comparison.at_stake_count) == (1, 1)
    assert is_still_credited(credited)


@pytest.mark.parametrize("word", ["REVERSED", "FAILED"])
def test_webhook_that_feexpay_does_not_confirm_changes_nothing(
    signals: Recorder, credited: Payment, gateway: ModelGateway, word: str
) -> None:
    before = gateway.questions

    deliver_webhook(word)
    sweep()

    assert gateway.questions > before
    assert reversals() == []
    assert signals.names() == ["payment_succeeded"]
    assert list(violations()) == []


@pytest.mark.parametrize("word", ["PENDING", "IN PENDING STATE", "ON HOLD", "REVERSAL PENDING"])
def test_other_status_about_a_credit_is_no_reversal(credited: Payment, gateway: ModelGateway, word: str) -> None:
    gateway.last().lies = {"status": word}

    reconcile(only_attempt(credited).pk, source=Source.ADMIN)

    assert reversals() == []


@pytest.mark.parametrize(
    "lies",
    [{"reference": "ref-9999"}, {"callback_info": "another"}, {"phoneNumber": "2290161000051"}],
    ids=str,
)
def test_report_about_another_payment_is_no_reversal(
    credited: Payment, gateway: ModelGateway, lies: dict[str, str]
) -> None:
    gateway.last().lies = {"status": "REVERSED", **lies}

    reconcile(only_attempt(credited).pk, source=Source.ADMIN)

    assert reversals() == []


def test_reversal_is_announced_once(signals: Recorder, credited: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.last().status = "REVERSED"
    day = clock.at.date()

    for word in ("REVERSED", "FAILED"):
        deliver_webhook(word)
        clock.advance(61)
        sweep()
        reconcile(only_attempt(credited).pk, source=Source.HOST)
    clock.advance(2 * 86_400)
    run.compare(run.begin(day, day), source=Source.WORKER)
    sweep()

    assert len(reversals()) == 1
    assert signals.names().count("payment_reversed") == 1


def test_closed_reversal_stays_closed_and_closes_its_discrepancy(
    credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.last().status = "REFUNDED"
    day = clock.at.date()
    clock.advance(2 * 86_400)
    run.compare(run.begin(day, day), source=Source.WORKER)

    close_incident(Incident.objects.get().pk, "coins taken back")

    assert (Discrepancy.objects.get().state, Discrepancy.objects.get().note) == ("closed", "coins taken back")
    comparison = run.compare(run.begin(day, day), source=Source.WORKER)
    assert (comparison.found_count, len(reversals())) == (0, 1)


@pytest.mark.parametrize("found_by", ["webhook", "comparison"])
def test_second_reversal_opens_the_incident_that_lost_no_money_again(
    signals: Recorder, credited: Payment, gateway: ModelGateway, clock: Clock, found_by: str
) -> None:
    """FeexPay showed the first one by mistake."""
    day = clock.at.date()
    clock.advance(2 * 86_400)
    for word in ("REVERSED", "SUCCESSFUL", "REVERSED"):
        gateway.last().status = word
        if found_by == "comparison":
            run.compare(run.begin(day, day), source=Source.WORKER)
        elif word == "REVERSED":
            deliver_webhook(word)
        sweep()
        if word == "REVERSED" and not StaffAction.objects.exists():
            close_incident(Incident.objects.get().pk, "FeexPay's support: it was shown by mistake")
        clock.advance(86_400)

    incident = Incident.objects.get()
    assert (incident.closed_at, incident.resolution, incident.closed_by, incident.note) == (None, "", "", "")
    assert StaffAction.objects.get().reason == "FeexPay's support: it was shown by mistake"
    assert signals.names().count("payment_reversed") == 1
    assert list(violations()) == []


def test_reversal_with_another_ending_stays_closed(credited: Payment, gateway: ModelGateway) -> None:
    gateway.last().status = "REVERSED"
    reconcile(only_attempt(credited).pk, source=Source.WORKER)
    source, resolution = Source.ADMIN, "loss_accepted"
    incidents.close(Incident.objects.get().pk, "our loss", resolution=resolution, actor="1", source=source)

    reconcile(only_attempt(credited).pk, source=Source.WORKER)

    assert Incident.objects.get().note == "our loss"


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_concurrent_checks_announce_a_reversal_once(credited: Payment, gateway: ModelGateway) -> None:
    gateway.last().status = "REVERSED"
    attempt_id = only_attempt(credited).pk

    at_once(6, lambda _: reconcile(attempt_id, source=Source.WORKER))

    assert len(reversals()) == 1
    assert OutboxMessage.objects.filter(signal="payment_reversed").count() == 1


def test_refunded_second_charge_is_no_reversal_of_the_credit(
    signals: Recorder, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """Staff refunded one of two charges of an order on FeexPay's dashboard."""
    payment = begin(merchant_reference="order-1")
    gateway.last().approve()
    sweep_until_final(payment, clock)
    clock.advance(3600)
    again = gateway.charge_again(gateway.last(), "ref-again")
    reconcile(only_attempt(payment).pk, source=Source.ADMIN)
    again.status = "REFUNDED"

    deliver_webhook("REFUNDED", "ref-again", callback_info=str(only_attempt(payment).pk))
    sweep()

    assert reversals() == []
    assert signals.names() == ["payment_succeeded", "duplicate_charge_found"]


@pytest.mark.parametrize("word", ["REVERSED", "REFUNDED", "CANCELLED"])
def test_reversal_statuses_settle_no_uncredited_attempt(
    begin: Begin, gateway: ModelGateway, clock: Clock, word: str
) -> None:
    """If such a word counted as a failure, the payer could be asked a second time."""
    payment = begin()
    gateway.last().status = word

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, reversals()) == ("pending", [])


def test_reversal_check_is_repeated_until_feexpay_answers(
    credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.last().status = "REVERSED"
    gateway.reads_unanswered = True
    deliver_webhook("REVERSED")
    for _ in range(3):
        sweep_at_next_poll(clock)
    assert only_attempt(credited).next_poll_at == clock.at + leases.AGAIN_AFTER_CREDIT
    gateway.reads_unanswered = False

    sweep_at_next_poll(clock)

    assert len(reversals()) == 1


def test_webhook_right_after_the_credit_waits_for_the_pause(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.last().approve()
    sweep_until_final(payment, clock)

    deliver_webhook("REVERSED")

    assert only_attempt(payment).next_poll_at == clock.at + leases.MIN_POLL_GAP_AFTER_CREDIT


def test_webhook_during_a_poll_after_the_credit_causes_another_poll(
    credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    """FeexPay answered `successful` just before it reversed the payment."""

    def reverse() -> None:
        gateway.last().status = "REVERSED"
        deliver_webhook("REVERSED", date="later")

    deliver_webhook("REVERSED")
    with failpoints.arm("asked", reverse):
        sweep()
    assert (len(reversals()), only_attempt(credited).next_poll_at) == (0, clock.at + leases.MIN_POLL_GAP_AFTER_CREDIT)

    sweep_at_next_poll(clock)

    assert len(reversals()) == 1


def test_webhook_during_the_poll_that_credits_causes_another_poll(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """FeexPay answered `successful` just before it reversed the payment, which is not credited yet."""
    payment = begin(merchant_reference="order-1")
    gateway.last().approve()
    clock.advance(5)

    def reverse() -> None:
        gateway.last().status = "REVERSED"
        deliver_webhook("REVERSED")

    with failpoints.arm("asked", reverse):
        sweep()
    assert (is_still_credited(payment), reversals()) == (True, [])

    sweep_at_next_poll(clock)

    assert len(reversals()) == 1
