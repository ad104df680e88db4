"""A second charge of one attempt is found by any poll, proven by asking FeexPay, and announced once."""

from __future__ import annotations

from typing import Any

import pytest

from django_feexpay import conf
from django_feexpay.gateway.reports import hint_from
from django_feexpay.models import Attempt, Credit, Discrepancy, Incident, OutboxMessage, Payment
from django_feexpay.payments import second_charges, webhook_hints
from django_feexpay.payments.admission import rate_budget
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile, reconcile_if_due, record_reference
from django_feexpay.payments.reconciliation import discrepancies, run
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, lose_the_answer
from tests.payments.fakes import (
    Clock,
    Recorder,
    close_incident,
    only_attempt,
    sweep,
    sweep_at_next_poll,
    sweep_until_final,
)
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db

EXPIRY, PAUSE = 900, 30


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


@pytest.fixture
def paid_page(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """A card page, credited by `card-0001` and still open."""
    payment = begin(provider="visa", phone="", merchant_reference="order-1")
    gateway.pay_on_page().approve()
    return sweep_until_final(payment, clock)


def deliver_webhook(reference: str, **body: Any) -> None:
    """Store a webhook delivery, as the webhook view does."""
    webhook_hints.receive(hint_from({"reference": reference, "status": "SUCCESSFUL"} | body))


def found() -> list[tuple[str, str, int | None, str]]:
    names = ("gateway_reference", "credited_reference", "amount", "currency")
    rows = Incident.objects.filter(kind="duplicate_charge").order_by("pk")
    return [tuple(row) for row in rows.values_list(*names)]  # type: ignore[misc]


def compare_today(clock: Clock, **options: Any) -> None:
    day = clock.at.date()
    clock.advance(2 * 86_400)
    run.compare(run.begin(day, day), source=Source.WORKER, **options)


# --- which polls find it --------------------------------------------------------------------------------


def test_webhook_with_our_echo_and_another_reference_is_checked(
    signals: Recorder, credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")

    deliver_webhook("ref-again", callback_info=str(only_attempt(credited).pk))
    assert only_attempt(credited).next_poll_at == clock.at
    sweep()

    assert found() == [("ref-again", "ref-0001", 5000, "XOF")]
    assert signals.names() == ["payment_succeeded", "duplicate_charge_found"]
    assert only_attempt(credited).gateway_reference == "ref-0001"
    assert only_attempt(credited).next_poll_at is None
    assert list(violations()) == []


def test_second_payment_of_a_page_is_found_when_the_page_closes(
    signals: Recorder, paid_page: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    """No webhook arrives."""
    gateway.pay_on_page().approve()

    sweep_at_next_poll(clock)

    assert (clock.at - paid_page.created_at).total_seconds() == EXPIRY + PAUSE
    assert found() == [("card-0002", "card-0001", 5000, "XOF")]
    assert only_attempt(paid_page).next_poll_at is None
    assert signals.names(paid_page) == ["payment_succeeded", "duplicate_charge_found"]


def test_webhook_about_a_second_payment_of_a_page_is_checked_soon(
    paid_page: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.pay_on_page().approve()

    deliver_webhook("card-0002", ref_link="page0001")
    clock.advance(PAUSE)
    sweep()

    assert [reference for reference, *_ in found()] == ["card-0002"]
    assert list(violations()) == []


def test_page_polled_before_it_closed_is_polled_again(paid_page: Payment, gateway: ModelGateway, clock: Clock) -> None:
    deliver_webhook("card-0001", status="FAILED")
    clock.advance(PAUSE)
    sweep()
    assert found() == []
    gateway.pay_on_page().approve()

    sweep_at_next_poll(clock)

    assert [reference for reference, *_ in found()] == ["card-0002"]


def test_page_credited_after_it_closed_is_polled_once_more(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin(provider="visa", phone="", merchant_reference="order-1")
    gateway.pay_on_page().approve()
    gateway.pay_on_page().approve()
    clock.advance(EXPIRY + PAUSE)
    sweep_until_final(payment, clock)
    assert Credit.objects.count() == 1

    clock.advance(PAUSE)
    sweep()

    [(extra, credited, *_)] = found()
    assert {extra, credited} == {"card-0001", "card-0002"}
    assert only_attempt(payment).next_poll_at is None


def test_page_is_polled_again_when_its_history_could_not_be_asked_for(
    paid_page: Payment, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.pay_on_page().approve()
    clock.advance(EXPIRY + PAUSE)
    with monkeypatch.context() as busy:
        busy.setattr(rate_budget, "wait_seconds", lambda share: 1 if share == rate_budget.READING else 0)
        sweep()
    assert found() == []

    sweep_at_next_poll(clock)

    assert [reference for reference, *_ in found()] == ["card-0002"]


def test_delivery_about_the_second_charge_stays_with_its_attempt(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """One poll found the first charge and its process died; the next poll found the second one, which was credited."""
    payment = begin(provider="visa", phone="")
    gateway.pay_on_page().approve()
    deliver_webhook("card-0001", ref_link="page0001")
    assert record_reference(only_attempt(payment), "card-0001", Source.WORKER)
    gateway.pay_on_page().approve()
    sweep_until_final(payment, clock)
    assert only_attempt(payment).gateway_reference == "card-0002"

    clock.advance(EXPIRY + PAUSE)
    sweep()

    assert [reference for reference, *_ in found()] == ["card-0001"]
    assert list(violations()) == []


def test_prompt_with_a_lost_answer_is_checked_for_a_second_charge(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [lose_the_answer]
    payment = begin()
    gateway.last().approve()
    gateway.charge_again(gateway.last(), "ref-again")
    sweep_until_final(payment, clock)
    assert Credit.objects.count() == 1

    clock.advance(PAUSE)
    sweep()

    [(extra, credited, *_)] = found()
    assert {extra, credited} == {"ref-0001", "ref-again"}
    assert only_attempt(payment).gateway_reference == credited


@pytest.mark.parametrize("provider", ["mtn_bj", "visa"])
def test_comparison_that_credits_one_of_two_charges_has_the_other_checked(
    begin: Begin, gateway: ModelGateway, clock: Clock, provider: str
) -> None:
    if provider == "visa":
        payment = begin(provider="visa", phone="")
        gateway.pay_on_page().approve()
        gateway.pay_on_page().approve()
    else:
        gateway.next_collects = [lose_the_answer]
        payment = begin()
        gateway.last().approve()
        gateway.charge_again(gateway.last(), "ref-again")
    compare_today(clock)
    assert Credit.objects.get().attempt == only_attempt(payment)

    clock.advance(PAUSE)
    sweep()

    [(extra, credited, *_)] = found()
    assert {extra, credited} == {charge.reference for charge in gateway.charges}


def test_question_by_staff_finds_the_second_charge(credited: Payment, gateway: ModelGateway) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")

    reconcile(only_attempt(credited).pk, source=Source.ADMIN)

    assert [reference for reference, *_ in found()] == ["ref-again"]


def test_nightly_comparison_finds_the_second_charge_and_keeps_the_discrepancy_open(
    signals: Recorder, credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")

    compare_today(clock)
    sweep()

    assert found() == [("ref-again", "ref-0001", 5000, "XOF")]
    row = Discrepancy.objects.get(kind="second_row")
    assert (row.state, row.outcome, row.money_at_stake) == ("open", "incident", True)
    assert signals.names() == ["payment_succeeded", "duplicate_charge_found"]
    assert list(violations()) == []


def test_comparison_that_only_reports_opens_no_incident(credited: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")

    compare_today(clock, repair=False)

    assert found() == []
    assert Discrepancy.objects.get(kind="second_row").state == "open"


# --- once -----------------------------------------------------------------------------------------------


def test_second_charge_is_announced_once(
    signals: Recorder, credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")
    attempt = only_attempt(credited)

    for _ in range(2):
        deliver_webhook("ref-again", callback_info=str(attempt.pk))
        clock.advance(PAUSE)
        sweep()
        reconcile(attempt.pk, source=Source.HOST)
        second_charges.check(attempt.pk, "REF-AGAIN")
    compare_today(clock)
    sweep()

    assert len(found()) == 1
    assert signals.names().count("duplicate_charge_found") == 1


def test_third_charge_is_another_incident(
    signals: Recorder, credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")
    compare_today(clock)
    gateway.charge_again(gateway.charges[0], "ref-third", amount=4000)

    reconcile(only_attempt(credited).pk, source=Source.ADMIN)
    sweep()

    assert [(reference, amount) for reference, _, amount, _ in found()] == [("ref-again", 5000), ("ref-third", 4000)]
    assert signals.names().count("duplicate_charge_found") == 2
    assert list(violations()) == []


def test_incident_that_staff_closed_is_not_opened_again(credited: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")
    reconcile(only_attempt(credited).pk, source=Source.ADMIN)
    close_incident(Incident.objects.get().pk, "refunded, R-7")

    reconcile(only_attempt(credited).pk, source=Source.ADMIN)
    compare_today(clock)

    assert (Incident.objects.get().note, OutboxMessage.objects.count()) == ("refunded, R-7", 2)


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_concurrent_checks_open_one_incident(credited: Payment, gateway: ModelGateway) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")
    attempt_id = only_attempt(credited).pk

    answers = at_once(6, lambda _: second_charges.check(attempt_id, "ref-again"))

    assert set(answers) == {second_charges.Checked.SECOND_CHARGE}
    assert len(found()) == 1
    assert OutboxMessage.objects.filter(signal="duplicate_charge_found").count() == 1


# --- charges that are no second charge ------------------------------------------------------------------


@pytest.mark.parametrize(
    "lies",
    [
        {"status": "PENDING"},
        {"status": "FAILED"},
        {"status": "ON HOLD"},
        {"callback_info": "another"},
        {"callback_info": ""},
        {"reference": "ref-9999"},
    ],
    ids=str,
)
def test_charge_that_feexpay_does_not_confirm_opens_no_incident(
    credited: Payment, gateway: ModelGateway, clock: Clock, lies: dict[str, str]
) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again").lies = lies

    assert second_charges.check(only_attempt(credited).pk, "ref-again") is second_charges.Checked.NOT_CONFIRMED
    assert found() == []


def test_charge_of_another_attempt_is_no_second_charge(credited: Payment, begin: Begin, gateway: ModelGateway) -> None:
    begin(merchant_reference="order-2")
    gateway.last().approve()
    gateway.last().echo = str(only_attempt(credited).pk)

    assert second_charges.check(only_attempt(credited).pk, "REF-0002") is second_charges.Checked.NOT_CONFIRMED


def test_refused_card_on_a_paid_page_is_no_second_charge(
    paid_page: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.pay_on_page().decline()
    before = only_attempt(paid_page).next_poll_at

    deliver_webhook("card-0002", ref_link="page0001", status="FAILED")
    assert only_attempt(paid_page).next_poll_at == before
    sweep_at_next_poll(clock)

    assert found() == []


def test_attempt_that_is_not_credited_has_no_second_charge(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin()
    gateway.charge_again(gateway.last(), "ref-again")

    assert second_charges.check(only_attempt(payment).pk, "ref-again") is second_charges.Checked.NOT_CONFIRMED


def test_charge_with_our_echo_is_credited_when_the_known_one_failed(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """FeexPay sent two prompts, and the payer approved the one that we have no reference of."""
    payment = begin()
    gateway.last().decline()
    sweep_until_final(payment, clock)
    gateway.charge_again(gateway.last(), "ref-again", reason=None)

    compare_today(clock)

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).gateway_reference) == ("successful", "ref-again")
    assert found() == []


# --- unanswered questions and forged webhooks -----------------------------------------------------------


def test_unanswered_question_about_a_credit_is_asked_again(
    credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")
    deliver_webhook("ref-again", callback_info=str(only_attempt(credited).pk))
    gateway.reads_unanswered = True
    sweep()
    assert only_attempt(credited).next_poll_at is not None
    gateway.reads_unanswered = False

    sweep_at_next_poll(clock)

    assert [reference for reference, *_ in found()] == ["ref-again"]
    assert only_attempt(credited).next_poll_at is None


def test_comparison_without_an_answer_leaves_the_attempt_due(
    credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    again = gateway.charge_again(gateway.charges[0], "ref-again")
    row = next(row for row in _history(clock) if row.report.reference == again.reference)
    discrepancy = discrepancies.Found(discrepancies.Kind.SECOND_ROW, only_attempt(credited), row)
    gateway.reads_unanswered = True

    assert discrepancies.repair(discrepancy, Source.WORKER, "test") is discrepancies.Outcome.NO_ANSWER

    gateway.reads_unanswered = False
    sweep()
    assert [reference for reference, *_ in found()] == ["ref-again"]


def _history(clock: Clock) -> Any:
    return conf.gateway().search_history(clock.at.date(), clock.at.date()).rows


def test_forged_deliveries_about_a_credit_cost_one_bounded_poll_per_pause(
    credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    attempt_id = str(only_attempt(credited).pk)
    before = gateway.questions
    for number in range(30):
        deliver_webhook(f"forged-{number}", callback_info=attempt_id)
    for _ in range(30):
        sweep()

    # calls: the attempt's own reference, three named references, the history
    assert gateway.questions - before == 1 + second_charges.MAX_NAMED + 1
    assert found() == []
    clock.advance(PAUSE - 1)
    assert sweep() == 0


def test_forged_deliveries_about_many_credits_are_bounded_in_total(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_budget, "CREDITED_A_MINUTE", 2)
    for number in range(5):
        payment = begin(merchant_reference=str(number))
        gateway.last().approve()
        reconcile(only_attempt(payment).pk, source=Source.WORKER)
    clock.at = clock.at.replace(second=0)
    clock.advance(3600)
    before = gateway.questions
    for charge in list(gateway.charges):
        deliver_webhook(charge.reference, status="FAILED")

    sweep()
    assert gateway.questions - before == 2 * 2

    for _ in range(4):
        clock.advance(120)
        sweep()
    assert gateway.questions - before == 5 * 2
    assert not Attempt.objects.filter(next_poll_at__isnull=False).exists()


def test_status_read_never_waits_for_the_check(credited: Payment, gateway: ModelGateway, clock: Clock) -> None:
    deliver_webhook(gateway.charges[0].reference, status="FAILED")
    before = gateway.questions

    assert reconcile_if_due(only_attempt(credited), source=Source.API, total_seconds=2) is False
    assert gateway.questions == before


def test_closing_an_incident_closes_the_discrepancy_about_the_same_charge(
    credited: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.charge_again(gateway.charges[0], "ref-again")
    compare_today(clock)

    assert close_incident(Incident.objects.get().pk, "refunded, R-7") is True

    row = Discrepancy.objects.get(kind="second_row")
    assert (row.state, row.note) == ("closed", "refunded, R-7")


def test_refunded_second_row_puts_no_money_at_stake(credited: Payment, gateway: ModelGateway, clock: Clock) -> None:
    again = gateway.charge_again(gateway.charges[0], "ref-again")
    compare_today(clock)
    day = only_attempt(credited).created_at.date()
    again.decline()

    run.compare(run.begin(day, day), source=Source.WORKER)

    assert Discrepancy.objects.get(kind="second_row").money_at_stake is False


def test_guests_with_one_reference_are_one_order(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """A guest has no user, so the reference alone tells the order: the late success of its first payment is a second
    charge of it. Rule I4 must see it so, too."""
    first = begin(user=None, merchant_reference="table-4")
    clock.advance(EXPIRY + PAUSE)
    sweep()
    first.refresh_from_db()
    assert first.status == "expired"
    second = begin(user=None, merchant_reference="table-4", phone_ending="51")
    gateway.charges[1].approve()
    sweep_until_final(second, clock)
    gateway.charges[0].approve()

    assert reconcile(only_attempt(first).pk, source=Source.WORKER)

    assert [str(violation) for violation in violations()] == []
    assert Incident.objects.count() == 1
