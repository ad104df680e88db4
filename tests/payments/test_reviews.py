"""Closing a review: the allowed decisions, the objections of FeexPay's answer, the rows written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction

import django_feexpay
from django_feexpay.api.outputs import payment_body
from django_feexpay.models import Attempt, Credit, Discrepancy, Incident, Payment, PaymentEvent
from django_feexpay.payments import outbox, review_facts, reviews
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.reconciliation import run
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, accept_as, lose_the_answer
from tests.payments.fake_history import FakeHistory, row
from tests.payments.fakes import Clock, Recorder, only_attempt, sweep, sweep_at_next_poll, sweep_until_final
from tests.payments.reviewing import (
    MADE_UP_WORD,
    NO_AMOUNT,
    NO_ECHO,
    SHORT,
    broken_invariants,
    close,
    put_under_review,
    refused,
)

pytestmark = pytest.mark.django_db(transaction=True)


# --- the three decisions -------------------------------------------------------------------------------


def test_credit_taken_credits_feexpays_amount(
    start_review: Callable[..., Payment], ama: User, signals: Recorder
) -> None:
    payment = close(start_review(), "credit_taken", ama)

    credit = Credit.objects.get()
    assert (payment.status, credit.amount, credit.currency) == ("successful", 4999, "XOF")
    event = credit.event
    assert (event.from_status, event.because, event.source) == ("review", "credit_taken", "host")
    assert (event.actor, event.note) == (str(ama.pk), "seen in the account")
    assert (event.evidence["word"], event.evidence["amount"], event.evidence["asked_for"]) == ("successful", 4999, 5000)
    outbox.deliver()
    assert signals.names(payment) == ["payment_needs_review", "payment_succeeded"]
    assert broken_invariants() == []


@pytest.mark.parametrize("lies", [SHORT, NO_ECHO, NO_AMOUNT, {"callback_info": "another"}], ids=str)
def test_credit_price_credits_the_amount_asked_for(
    lies: dict[str, Any], start_review: Callable[..., Payment], ama: User
) -> None:
    payment = close(start_review(**lies), "credit_price", ama)

    assert (payment.status, Credit.objects.get().amount) == ("successful", 5000)
    assert broken_invariants() == []


def test_not_paid_fails_the_payment_and_tells_the_payer_that_nothing_was_taken(
    missing: Payment, ama: User, signals: Recorder
) -> None:
    payment = close(missing, "not_paid", ama)

    told = payment_body(payment)
    assert (told["status"], told["detail"], told["can_retry"]) == ("failed", "declined", True)
    assert told["reason"] == {
        "code": "not_paid",
        "message": "The shop checked this payment with the operator: nothing was taken. You can pay again.",
    }
    outbox.deliver()
    assert signals.names(payment) == ["payment_needs_review", "payment_failed"]
    assert broken_invariants() == []


def test_order_can_be_paid_again_after_not_paid(
    missing: Payment, begin: Begin, gateway: ModelGateway, ama: User
) -> None:
    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        begin(merchant_reference="order-7")

    close(missing, "not_paid", ama)

    assert begin(merchant_reference="order-7").status == "pending"


@pytest.mark.parametrize(("first", "second"), [("not_paid", "credit_price"), ("credit_price", "not_paid")])
def test_second_of_two_decisions_at_once_is_refused(
    first: str, second: str, missing: Payment, ama: User, kofi: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = review_facts.fetch

    def another_decides_meanwhile(attempt: Attempt, **more: Any) -> review_facts.Facts:
        facts = ask(attempt, **more)
        monkeypatch.setattr(review_facts, "fetch", ask)
        close(missing, first, kofi)
        return facts

    monkeypatch.setattr(review_facts, "fetch", another_decides_meanwhile)

    with pytest.raises(NotAllowedError, match="not_under_review"):
        close(missing, second, ama)

    assert Credit.objects.count() == (first == "credit_price")
    assert broken_invariants() == []


def test_payer_may_retry_after_not_paid(missing: Payment, gateway: ModelGateway, ama: User) -> None:
    close(missing, "not_paid", ama)

    again = retry(missing.pk, source=Source.API)
    gateway.last().approve()

    assert again.attempt.ordinal == 2
    assert django_feexpay.reconcile_payment(missing.pk).status == "successful"
    assert broken_invariants() == []


def test_retry_after_not_paid_is_refused_while_the_history_cannot_be_read(
    missing: Payment, gateway: ModelGateway, ama: User
) -> None:
    close(missing, "not_paid", ama)
    gateway.history_total = 600

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(missing.pk, source=Source.API)
    assert Attempt.objects.count() == 1


def test_late_success_after_not_paid_is_credited(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User, signals: Recorder
) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    charge = gateway.last()
    gateway.forget(charge)
    put_under_review(payment)
    close(payment, "not_paid", ama)
    charge.approve()
    gateway.charges.append(charge)

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.get().amount) == ("successful", 5000)
    outbox.deliver()
    assert "payment_succeeded_late" in signals.names(payment)
    assert broken_invariants() == []


def test_failure_about_another_payer_leaves_the_review_closed(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User
) -> None:
    payment = begin()
    gateway.last().decline()
    gateway.last().lies = {"callback_info": str(uuid4())}
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    close(payment, "not_paid", ama)

    sweep_at_next_poll(clock)

    assert only_attempt(payment).status == "failed"
    assert broken_invariants() == []


def test_review_is_closed_once(start_review: Callable[..., Payment], ama: User) -> None:
    payment = start_review()
    close(payment, "credit_taken", ama)

    for decision in ("credit_taken", "credit_price", "not_paid"):
        assert refused(payment, decision, ama) == "not_under_review"
    assert Credit.objects.count() == 1


@pytest.mark.parametrize("status", ["pending", "failed", "successful"])
def test_only_a_payment_under_review_is_closed(status: str, begin: Begin, gateway: ModelGateway, ama: User) -> None:
    payment = begin()
    if status != "pending":
        gateway.last().approve() if status == "successful" else gateway.last().decline()
        reconcile(only_attempt(payment).pk, source=Source.WORKER)

    assert refused(payment, "not_paid", ama) == "not_under_review"


# --- what FeexPay's answer decides and forbids ----------------------------------------------------------


def test_confirming_answer_settles_and_the_decision_is_refused(
    start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = start_review()
    gateway.last().lies = {}

    with pytest.raises(NotAllowedError, match="FeexPay confirms this payment.*decided_by_gateway"):
        close(payment, "not_paid", ama)

    event = PaymentEvent.objects.latest("id")
    assert (event.because, event.to_status, event.actor) == ("confirmed", "successful", str(ama.pk))
    assert (Credit.objects.get().amount, broken_invariants()) == (5000, [])


def test_denying_answer_settles_and_nothing_is_credited(
    start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = start_review()
    gateway.last().lies = {}
    gateway.last().decline()

    with pytest.raises(NotAllowedError, match="FeexPay confirms that nothing was taken.*decided_by_gateway"):
        close(payment, "credit_price", ama)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.count(), broken_invariants()) == ("failed", 0, [])


@pytest.mark.parametrize("decision", ["credit_taken", "credit_price", "not_paid"])
def test_decision_is_refused_without_an_answer_from_feexpay(
    decision: str, start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = start_review()
    gateway.reads_unanswered = True

    assert refused(payment, decision, ama) == "gateway_unavailable"


@pytest.mark.parametrize("decision", ["credit_taken", "credit_price", "not_paid"])
def test_decision_about_a_lost_request_needs_an_answer_from_the_history(
    decision: str, missing: Payment, gateway: ModelGateway, ama: User
) -> None:
    gateway.reads_unanswered = True

    assert refused(missing, decision, ama) == "gateway_unavailable"


@pytest.mark.parametrize(
    ("lies", "code"),
    [
        pytest.param(NO_AMOUNT, "no_charge_shown", id="no amount"),
        pytest.param({"amount": 0}, "no_charge_shown", id="an amount of zero"),
        pytest.param({"amount": "much"}, "no_charge_shown", id="an amount that cannot be read"),
        pytest.param(SHORT | MADE_UP_WORD, "no_charge_shown", id="an unknown word"),
        pytest.param(SHORT | {"status": "PENDING"}, "no_charge_shown", id="still pending"),
    ],
)
def test_credit_taken_needs_feexpays_amount(
    lies: dict[str, Any], code: str, start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = start_review()
    gateway.last().lies = lies

    assert refused(payment, "credit_taken", ama) == code


@pytest.mark.parametrize(
    "lies",
    [SHORT, NO_ECHO, SHORT | {"status": "PENDING"}, MADE_UP_WORD | SHORT],
    ids=["taken", "taken, no echo", "pending", "unknown word"],
)
def test_not_paid_is_refused_while_feexpay_shows_a_charge(
    lies: dict[str, Any], start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = start_review()
    gateway.last().lies = lies

    assert refused(payment, "not_paid", ama) == "charge_shown"


def test_not_paid_is_refused_while_the_history_shows_a_charge_with_our_id(
    start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = start_review()
    charge = gateway.last()
    charge.lies = {"status": "FAILED"}  # the status says failed, the history says successful

    assert refused(payment, "not_paid", ama) == "charge_shown"
    assert close(payment, "credit_taken", ama).status == "successful"
    assert (Credit.objects.get().amount, broken_invariants()) == (5000, [])


def test_not_paid_is_refused_while_the_history_of_a_lost_request_is_cut(
    missing: Payment, gateway: ModelGateway, ama: User
) -> None:
    gateway.history_total = 600

    assert refused(missing, "not_paid", ama) == "history_incomplete"


def test_not_paid_needs_no_history_when_feexpay_denies_the_reference(
    start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = start_review()
    gateway.forget(gateway.last())
    gateway.history_total = 600

    assert close(payment, "not_paid", ama).status == "failed"
    assert broken_invariants() == []


def test_lost_request_found_in_the_history_is_settled_by_its_status(
    begin: Begin, gateway: ModelGateway, ama: User
) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    put_under_review(payment)
    gateway.last().approve()

    with pytest.raises(NotAllowedError, match="decided_by_gateway"):
        close(payment, "not_paid", ama)

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).gateway_reference) == ("successful", gateway.last().reference)


def test_lost_request_is_credited_with_the_amount_of_the_payment_with_our_id(
    begin: Begin, gateway: ModelGateway, ama: User
) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    put_under_review(payment)
    charge = gateway.last()
    charge.approve()
    charge.amount = 4999

    close(payment, "credit_taken", ama)

    assert (Credit.objects.get().amount, broken_invariants()) == (4999, [])


def test_not_paid_payment_with_the_reference_of_another_is_never_retryable(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User
) -> None:
    """FeexPay can never confirm that attempt, so the answer must not suggest another try soon."""
    first = begin(merchant_reference="order-1")
    gateway.next_collects.append(accept_as(str(only_attempt(first).gateway_reference)))
    second = begin(merchant_reference="order-2")
    gateway.charges[0].approve()
    reconcile(only_attempt(first).pk, source=Source.WORKER)
    reconcile(only_attempt(second).pk, source=Source.WORKER)
    close(second, "not_paid", ama)

    with pytest.raises(NotAllowedError) as caught:
        retry(second.pk, source=Source.API)

    assert (caught.value.code, caught.value.retry_after_seconds) == ("not_retryable", None)
    assert begin(merchant_reference="order-2").status == "pending"


def test_charge_of_another_attempt_is_not_credited_twice(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User
) -> None:
    first = begin(merchant_reference="first")
    gateway.last().approve()
    gateway.next_collects.append(lose_the_answer)
    second = begin(merchant_reference="second")
    gateway.forget(gateway.last())
    gateway.last().echo = str(only_attempt(second).pk)  # FeexPay gives one charge to two of our attempts
    reconcile(only_attempt(first).pk, source=Source.WORKER)
    put_under_review(second)

    assert refused(second, "credit_taken", ama) == "charge_of_another"
    assert refused(second, "credit_price", ama) == "charge_of_another"
    assert refused(second, "not_paid", ama) == "charge_shown"
    close(first, "credit_taken", ama)
    assert refused(second, "credit_price", ama) == "charge_of_another"
    assert close(second, "not_paid", ama).status == "failed"
    sweep_at_next_poll(clock)

    assert only_attempt(second).status == "failed"
    assert Credit.objects.count() == 1
    assert broken_invariants() == []


def test_declined_card_fails_the_page_only_with_a_complete_history(
    begin: Begin, gateway: ModelGateway, ama: User
) -> None:
    payment = begin(provider="visa", phone="")
    put_under_review(payment)
    gateway.pay_on_page().decline()
    gateway.history_total = 600

    assert refused(payment, "not_paid", ama) == "history_incomplete"
    gateway.history_total = None
    with pytest.raises(NotAllowedError, match="decided_by_gateway"):
        close(payment, "not_paid", ama)

    assert (only_attempt(payment).status, broken_invariants()) == ("failed", [])


@pytest.mark.parametrize(("decision", "amount"), [("credit_taken", 4999), ("credit_price", 4999)])
def test_nightly_comparison_accepts_an_amount_that_staff_decided(
    decision: str,
    amount: int,
    begin: Begin,
    gateway: ModelGateway,
    history: FakeHistory,
    clock: Clock,
    ama: User,
) -> None:
    payment = begin()
    charge = gateway.last()
    charge.approve()
    charge.lies = {"amount": amount}
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    close(payment, decision, ama)
    day = clock.at.date()
    history.rows.append(row(charge.reference, str(day), amount=amount, callback_info=charge.echo))

    clock.advance(2 * 86_400)
    run.compare(run.begin(day, day), source=Source.COMMAND)
    assert Discrepancy.objects.count() == 0

    history.rows[0]["amount"] = 4000
    run.compare(run.begin(day, day), source=Source.COMMAND)
    assert [discrepancy.kind for discrepancy in Discrepancy.objects.all()] == ["amount"]


# --- arguments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"decision": "refund"}, "decision"),
        ({"decision": ""}, "decision"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "a\0b"}, "reason"),
        ({"actor": "nobody"}, "actor"),
        ({"actor": None}, "actor"),
        ({"actor": 7}, "actor"),
    ],
    ids=str,
)
def test_bad_input_is_named_and_feexpay_is_not_asked(
    changes: dict[str, Any], field: str, start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment, before = start_review(), gateway.questions
    given = {"decision": "credit_taken", "reason": "seen", "actor": ama} | changes

    with pytest.raises(NotAllowedError) as caught:
        django_feexpay.close_review(payment, **given)

    assert [error.field for error in caught.value.errors] == [field]
    assert (gateway.questions, Credit.objects.count()) == (before, 0)


def test_inactive_user_closes_no_review(start_review: Callable[..., Payment], ama: User) -> None:
    User.objects.update(is_active=False)

    assert refused(start_review(), "credit_taken", "staff-ama") == "validation_error"


def test_payment_and_actor_may_be_given_by_id_and_name(start_review: Callable[..., Payment], ama: User) -> None:
    payment = start_review()

    closed = django_feexpay.close_review(str(payment.pk), decision="credit_taken", reason="seen", actor="staff-ama")

    assert closed.status == "successful"
    assert PaymentEvent.objects.latest("id").actor == str(ama.pk)


def test_unknown_payment_is_not_found(ama: User) -> None:
    with pytest.raises(Payment.DoesNotExist):
        django_feexpay.close_review(uuid4(), decision="not_paid", reason="seen", actor=ama)


def test_review_is_not_closed_inside_a_transaction(
    start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment, before = start_review(), gateway.questions

    with pytest.raises(RuntimeError), transaction.atomic():
        close(payment, "credit_taken", ama)

    assert gateway.questions == before


# --- several attempts, several payments ------------------------------------------------------------------


def test_newest_attempt_is_closed_first_and_a_second_credit_is_an_incident(
    begin: Begin, gateway: ModelGateway, ama: User, signals: Recorder
) -> None:
    payment = begin()
    first = gateway.last()
    first.decline()
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    retry(payment.pk, source=Source.API)
    second = gateway.last()
    for charge, amount in ((first, 4998), (second, 4999)):
        charge.approve()
        charge.lies = {"amount": amount}
    for attempt in payment.attempts.all():
        reconcile(attempt.pk, source=Source.WORKER)

    close(payment, "credit_taken", ama)
    assert statuses(payment) == ["review", "successful"]
    close(payment, "credit_taken", ama)

    assert statuses(payment) == ["successful", "successful"]
    assert Credit.objects.get().amount == 4999
    assert Incident.objects.get().attempt.ordinal == 1
    outbox.deliver()
    assert signals.names(payment).count("payment_succeeded") == 1
    assert "duplicate_charge_found" in signals.names(payment)
    assert broken_invariants() == []


def test_second_credit_of_an_order_is_an_incident(begin: Begin, gateway: ModelGateway, clock: Clock, ama: User) -> None:
    first = begin(merchant_reference="order-7")
    charge = gateway.last()
    sweep_until_final(first, clock)
    second = begin(merchant_reference="order-7")
    gateway.last().approve()
    reconcile(only_attempt(second).pk, source=Source.WORKER)
    charge.approve()
    charge.lies = dict(SHORT)
    reconcile(only_attempt(first).pk, source=Source.WORKER)

    close(first, "credit_taken", ama)

    assert Incident.objects.get().payment == first
    assert broken_invariants() == []


def statuses(payment: Payment) -> list[str]:
    return list(payment.attempts.order_by("ordinal").values_list("status", flat=True))


def test_decision_on_an_outdated_attempt_or_answer_is_refused(
    start_review: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = start_review()
    attempt = only_attempt(payment)
    shown = reviews.fetch_facts(reviews.under_review(payment.pk) or attempt, source=Source.ADMIN, actor=str(ama.pk))
    gateway.last().lies = {"amount": 4000}

    for stale in ({"seen": shown.fingerprint}, {"attempt_id": uuid4()}):
        with pytest.raises(NotAllowedError, match="answer_changed|not_under_review"):
            reviews.close(payment.pk, "credit_taken", reason="seen", actor=str(ama.pk), source=Source.ADMIN, **stale)
    assert Credit.objects.count() == 0


# --- polls of a review -----------------------------------------------------------------------------------


def test_review_is_polled_for_ever_and_less_and_less_often(
    start_review: Callable[..., Payment], gateway: ModelGateway, clock: Clock
) -> None:
    payment = start_review()
    clock.advance(400 * 86_400)
    Attempt.objects.update(next_poll_at=clock.at)
    sweep()

    wait = (only_attempt(payment).next_poll_at or clock.at) - clock.at
    assert 40 <= wait.days <= 58
    gateway.last().lies = {}
    sweep_at_next_poll(clock)
    payment.refresh_from_db()
    assert (payment.status, broken_invariants()) == ("successful", [])


def test_review_closed_as_paid_is_polled_once_more(
    start_review: Callable[..., Payment], ama: User, clock: Clock, gateway: ModelGateway
) -> None:
    close(start_review(), "credit_taken", ama)
    assert Attempt.objects.get().next_poll_at == clock.at

    sweep()

    assert Attempt.objects.get().next_poll_at is None
