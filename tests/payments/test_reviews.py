"""Closing a review: what a person may decide, what FeexPay's answer forbids, what is written, and by how many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction

import django_feexpay
from django_feexpay.api.outputs import payment_body
from django_feexpay.models import Attempt, Credit, Incident, OutboxMessage, Payment, PaymentEvent, ReviewProposal
from django_feexpay.payments import outbox, reviews
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Cause, Source, move
from django_feexpay.payments.lifecycle import Status
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.model_gateway import ModelGateway, lose_the_answer
from tests.payments.stage import Clock, Recorder, look_again, only_attempt, run_until_told, sweep
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

#: A review of each origin, by what FeexPay's status then says.
SHORT = {"amount": 4999}
NO_ECHO = {"callback_info": None}
NO_AMOUNT = {"amount": None, "callback_info": None}
MADE_UP_WORD = {"status": "ON HOLD"}


@pytest.fixture
def ama(db: None) -> User:
    return User.objects.create_user("staff-ama", is_staff=True)


@pytest.fixture
def kofi(db: None) -> User:
    return User.objects.create_user("staff-kofi", is_staff=True)


@pytest.fixture
def doubted(begin: Begin, gateway: ModelGateway) -> Callable[..., Payment]:
    """`doubted(amount=4999)`: a payment that FeexPay calls paid, with these lies; under review."""

    def make(order: str = "order-7", **lies: Any) -> Payment:
        payment = begin(merchant_reference=order)
        gateway.last().approve()
        gateway.last().lies = lies or dict(SHORT)
        reconcile(only_attempt(payment).pk, source=Source.WORKER)
        payment.refresh_from_db()
        assert payment.status == Status.REVIEW
        return payment

    return make


@pytest.fixture
def lost(begin: Begin, gateway: ModelGateway) -> Payment:
    """A request that never reached FeexPay, and whose answer was lost: nothing of it in the whole history."""
    gateway.next_collects.append(lose_the_answer)
    payment = begin(merchant_reference="order-7")
    gateway.forget(gateway.last())
    put_under_review(payment)
    return payment


def put_under_review(payment: Payment) -> None:
    cause = Cause(source=Source.WORKER, because="not_found_in_history")
    assert move(only_attempt(payment).pk, Status.REVIEW, cause)
    payment.refresh_from_db()


def close(payment: Payment, decision: str, actor: User, **more: Any) -> Payment:
    return django_feexpay.close_review(
        payment, **{"decision": decision, "reason": "seen in the account", "actor": actor, **more}
    )


def refused(payment: Payment, decision: str, actor: User, **more: Any) -> str:
    """The code of the refusal; nothing was decided."""
    before = rows()
    with pytest.raises(NotAllowedError) as caught:
        close(payment, decision, actor, **more)
    assert rows() == before
    assert caught.value.message
    return caught.value.code


def rows() -> list[Any]:
    """What a decision would change."""
    return [
        list(Attempt.objects.order_by("pk").values_list("pk", "status", "reason_code")),
        list(Payment.objects.order_by("pk").values_list("pk", "status")),
        list(PaymentEvent.objects.order_by("pk").values_list("pk", flat=True)),
        list(Credit.objects.values_list("pk", "amount")),
    ]


def verified() -> list[str]:
    return [str(violation) for violation in violations()]


# --- the three decisions -------------------------------------------------------------------------------


def test_credit_taken_credits_feexpays_figure(doubted: Callable[..., Payment], ama: User, signals: Recorder) -> None:
    payment = close(doubted(), "credit_taken", ama)

    credit = Credit.objects.get()
    assert (payment.status, credit.amount, credit.currency) == ("successful", 4999, "XOF")
    event = credit.event
    assert (event.from_status, event.because, event.source) == ("review", "credit_taken", "host")
    assert (event.actor, event.note) == (str(ama.pk), "seen in the account")
    assert (event.evidence["word"], event.evidence["amount"], event.evidence["asked_for"]) == ("successful", 4999, 5000)
    outbox.deliver()
    assert signals.names(payment) == ["payment_needs_review", "payment_succeeded"]
    assert verified() == []


@pytest.mark.parametrize("lies", [SHORT, NO_ECHO, NO_AMOUNT, {"callback_info": str(uuid4())}], ids=str)
def test_credit_price_credits_what_was_asked_for(
    lies: dict[str, Any], doubted: Callable[..., Payment], ama: User
) -> None:
    payment = close(doubted(**lies), "credit_price", ama)

    assert (payment.status, Credit.objects.get().amount) == ("successful", 5000)
    assert verified() == []


def test_not_paid_fails_the_payment_and_tells_the_payer_that_nothing_was_taken(
    lost: Payment, ama: User, signals: Recorder
) -> None:
    payment = close(lost, "not_paid", ama)

    told = payment_body(payment)
    assert (told["status"], told["detail"], told["can_retry"]) == ("failed", "declined", True)
    assert told["reason"] == {
        "code": "not_paid",
        "message": "The shop checked this payment with the operator: nothing was taken. You can pay again.",
    }
    outbox.deliver()
    assert signals.names(payment) == ["payment_needs_review", "payment_failed"]
    assert verified() == []


def test_order_can_be_paid_anew_once_the_review_was_closed_as_not_paid(
    lost: Payment, begin: Begin, gateway: ModelGateway, ama: User
) -> None:
    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        begin(merchant_reference="order-7")

    close(lost, "not_paid", ama)

    assert begin(merchant_reference="order-7").status == "pending"


def test_payer_may_retry_what_was_closed_as_not_paid(lost: Payment, gateway: ModelGateway, ama: User) -> None:
    close(lost, "not_paid", ama)

    again = retry(lost.pk, source=Source.API)
    gateway.last().approve()

    assert again.attempt.ordinal == 2
    assert django_feexpay.reconcile_payment(lost.pk).status == "successful"
    assert verified() == []


def test_retry_after_not_paid_is_refused_while_the_history_cannot_be_read(
    lost: Payment, gateway: ModelGateway, ama: User
) -> None:
    close(lost, "not_paid", ama)
    gateway.history_total = 600

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(lost.pk, source=Source.API)
    assert Attempt.objects.count() == 1


def test_late_success_of_what_was_closed_as_not_paid_still_counts(
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

    look_again(clock)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.get().amount) == ("successful", 5000)
    outbox.deliver()
    assert "payment_succeeded_late" in signals.names(payment)
    assert verified() == []


def test_a_failure_that_names_somebody_else_stays_closed(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User
) -> None:
    payment = begin()
    gateway.last().decline()
    gateway.last().lies = {"callback_info": str(uuid4())}
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    close(payment, "not_paid", ama)

    look_again(clock)

    assert only_attempt(payment).status == "failed"
    assert verified() == []


def test_review_is_closed_once(doubted: Callable[..., Payment], ama: User) -> None:
    payment = doubted()
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


def test_answer_that_confirms_settles_and_the_person_decides_nothing(
    doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = doubted()
    gateway.last().lies = {}

    with pytest.raises(NotAllowedError, match="decided_by_gateway: FeexPay confirms this payment"):
        close(payment, "not_paid", ama)

    event = PaymentEvent.objects.latest("id")
    assert (event.because, event.to_status, event.actor) == ("confirmed", "successful", str(ama.pk))
    assert (Credit.objects.get().amount, verified()) == (5000, [])


def test_answer_that_denies_settles_and_nothing_is_credited(
    doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = doubted()
    gateway.last().lies = {}
    gateway.last().decline()

    with pytest.raises(NotAllowedError, match="decided_by_gateway: FeexPay confirms that nothing was taken"):
        close(payment, "credit_price", ama)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.count(), verified()) == ("failed", 0, [])


@pytest.mark.parametrize("decision", ["credit_taken", "credit_price", "not_paid"])
def test_nothing_is_decided_while_feexpay_cannot_be_asked(
    decision: str, doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = doubted()
    gateway.away = True

    assert refused(payment, decision, ama) == "gateway_unavailable"


@pytest.mark.parametrize("decision", ["credit_taken", "credit_price", "not_paid"])
def test_nothing_is_decided_while_the_history_of_a_lost_request_does_not_answer(
    decision: str, lost: Payment, gateway: ModelGateway, ama: User
) -> None:
    gateway.away = True

    assert refused(lost, decision, ama) == "gateway_unavailable"


@pytest.mark.parametrize(
    ("lies", "code"),
    [
        pytest.param(NO_AMOUNT, "no_charge_shown", id="no amount"),
        pytest.param({"amount": 0}, "no_charge_shown", id="an amount of nothing"),
        pytest.param({"amount": "much"}, "no_charge_shown", id="an amount that cannot be read"),
        pytest.param(SHORT | MADE_UP_WORD, "no_charge_shown", id="a word that is not known"),
        pytest.param(SHORT | {"status": "PENDING"}, "no_charge_shown", id="not taken yet"),
    ],
)
def test_credit_taken_needs_feexpays_figure(
    lies: dict[str, Any], code: str, doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = doubted()
    gateway.last().lies = lies

    assert refused(payment, "credit_taken", ama) == code


@pytest.mark.parametrize(
    "lies",
    [SHORT, NO_ECHO, SHORT | {"status": "PENDING"}, MADE_UP_WORD | SHORT],
    ids=["taken", "taken, no echo", "pending", "unknown word"],
)
def test_not_paid_is_refused_while_feexpay_shows_a_charge(
    lies: dict[str, Any], doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = doubted()
    gateway.last().lies = lies

    assert refused(payment, "not_paid", ama) == "charge_shown"


def test_not_paid_is_refused_while_the_history_shows_a_charge_with_our_id(
    doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = doubted()
    charge = gateway.last()
    charge.lies = {"status": "FAILED"}  # its status says so, its history the opposite

    assert refused(payment, "not_paid", ama) == "charge_shown"
    assert close(payment, "credit_taken", ama).status == "successful"
    assert (Credit.objects.get().amount, verified()) == (5000, [])


def test_not_paid_is_refused_while_the_history_of_a_lost_request_is_cut(
    lost: Payment, gateway: ModelGateway, ama: User
) -> None:
    gateway.history_total = 600

    assert refused(lost, "not_paid", ama) == "history_incomplete"


def test_not_paid_needs_no_history_where_feexpay_denies_the_reference(
    doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = doubted()
    gateway.forget(gateway.last())
    gateway.history_total = 600

    assert close(payment, "not_paid", ama).status == "failed"
    assert verified() == []


def test_lost_request_that_history_knows_by_now_is_settled_by_its_answer(
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


def test_lost_request_is_credited_by_the_figure_of_the_payment_that_bears_our_id(
    begin: Begin, gateway: ModelGateway, ama: User
) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    put_under_review(payment)
    charge = gateway.last()
    charge.approve()
    charge.amount = 4999

    close(payment, "credit_taken", ama)

    assert (Credit.objects.get().amount, verified()) == (4999, [])


def test_charge_of_another_attempt_is_not_credited_twice(begin: Begin, gateway: ModelGateway, ama: User) -> None:
    first = begin(merchant_reference="first")
    gateway.last().approve()
    gateway.next_collects.append(lose_the_answer)
    second = begin(merchant_reference="second")
    gateway.forget(gateway.last())
    gateway.last().echo = str(only_attempt(second).pk)  # FeexPay mixes them up: one charge, two of our attempts
    reconcile(only_attempt(first).pk, source=Source.WORKER)
    put_under_review(second)

    assert refused(second, "credit_taken", ama) == "charge_of_another"
    assert refused(second, "credit_price", ama) == "charge_of_another"
    assert refused(second, "not_paid", ama) == "charge_shown"
    close(first, "credit_taken", ama)
    assert refused(second, "credit_price", ama) == "charge_of_another"
    assert close(second, "not_paid", ama).status == "failed"

    assert Credit.objects.count() == 1
    assert verified() == []


# --- what is given -------------------------------------------------------------------------------------


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
def test_bad_input_is_told_by_its_name_and_feexpay_is_not_asked(
    changes: dict[str, Any], field: str, doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment, before = doubted(), gateway.questions
    given = {"decision": "credit_taken", "reason": "seen", "actor": ama} | changes

    with pytest.raises(NotAllowedError) as caught:
        django_feexpay.close_review(payment, **given)

    assert [error.field for error in caught.value.errors] == [field]
    assert (gateway.questions, Credit.objects.count()) == (before, 0)


def test_who_left_closes_nothing(doubted: Callable[..., Payment], ama: User) -> None:
    User.objects.update(is_active=False)

    assert refused(doubted(), "credit_taken", "staff-ama") == "validation_error"


def test_payment_and_actor_may_be_given_by_id_and_name(doubted: Callable[..., Payment], ama: User) -> None:
    payment = doubted()

    closed = django_feexpay.close_review(str(payment.pk), decision="credit_taken", reason="seen", actor="staff-ama")

    assert closed.status == "successful"
    assert PaymentEvent.objects.latest("id").actor == str(ama.pk)


def test_unknown_payment_is_no_payment(ama: User) -> None:
    with pytest.raises(Payment.DoesNotExist):
        django_feexpay.close_review(uuid4(), decision="not_paid", reason="seen", actor=ama)


def test_nothing_is_asked_inside_a_transaction(
    doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment, before = doubted(), gateway.questions

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
    assert verified() == []


def test_order_that_was_credited_elsewhere_meanwhile_is_an_incident(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User
) -> None:
    first = begin(merchant_reference="order-7")
    charge = gateway.last()
    run_until_told(first, clock)
    second = begin(merchant_reference="order-7")
    gateway.last().approve()
    reconcile(only_attempt(second).pk, source=Source.WORKER)
    charge.approve()
    charge.lies = dict(SHORT)
    reconcile(only_attempt(first).pk, source=Source.WORKER)

    close(first, "credit_taken", ama)

    assert Incident.objects.get().payment == first
    assert verified() == []


def statuses(payment: Payment) -> list[str]:
    return list(payment.attempts.order_by("ordinal").values_list("status", flat=True))


def test_person_decides_about_the_attempt_and_the_answer_that_were_shown(
    doubted: Callable[..., Payment], gateway: ModelGateway, ama: User
) -> None:
    payment = doubted()
    attempt = only_attempt(payment)
    shown = reviews.look(reviews.under_review(payment.pk) or attempt, source=Source.ADMIN, actor=str(ama.pk))
    gateway.last().lies = {"amount": 4000}

    for stale in ({"seen": shown.gist}, {"attempt_id": uuid4()}):
        with pytest.raises(NotAllowedError, match="answer_changed|not_under_review"):
            reviews.close(payment.pk, "credit_taken", reason="seen", actor=str(ama.pk), source=Source.ADMIN, **stale)
    assert Credit.objects.count() == 0


# --- two persons ---------------------------------------------------------------------------------------


@pytest.fixture
def above_thousand(configure: Configure) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=1000)


@pytest.mark.usefixtures("above_thousand")
@pytest.mark.parametrize("decision", ["credit_taken", "credit_price"])
def test_one_person_proposes_and_another_one_closes(
    decision: str, doubted: Callable[..., Payment], ama: User, kofi: User
) -> None:
    payment = close(doubted(), decision, ama, reason="the operator's receipt")
    assert (payment.status, Credit.objects.count()) == ("review", 0)
    assert verified() == []

    closed = close(payment, decision, kofi, approve=True)

    proposal = ReviewProposal.objects.get()
    assert (closed.status, proposal.outcome, proposal.reason) == ("successful", "approved", "the operator's receipt")
    assert (proposal.proposed_by, proposal.ended_by) == (str(ama.pk), str(kofi.pk))
    assert Credit.objects.get().event.actor == str(kofi.pk)
    assert verified() == []


@pytest.mark.usefixtures("above_thousand")
def test_not_paid_takes_two_persons_too(lost: Payment, ama: User, kofi: User) -> None:
    assert close(lost, "not_paid", ama).status == "review"
    assert close(lost, "not_paid", kofi, approve=True).status == "failed"
    assert verified() == []


@pytest.mark.usefixtures("above_thousand")
def test_who_proposed_cannot_approve(doubted: Callable[..., Payment], ama: User) -> None:
    payment = doubted()
    close(payment, "credit_taken", ama)

    assert refused(payment, "credit_taken", ama, approve=True) == "same_person"


@pytest.mark.usefixtures("above_thousand")
def test_only_what_was_proposed_can_be_approved(doubted: Callable[..., Payment], ama: User, kofi: User) -> None:
    payment = doubted()
    assert refused(payment, "credit_taken", kofi, approve=True) == "no_proposal"
    close(payment, "credit_taken", ama)

    assert refused(payment, "credit_price", kofi, approve=True) == "no_proposal"


@pytest.mark.usefixtures("above_thousand")
def test_proposal_is_repeated_without_a_second_row(doubted: Callable[..., Payment], ama: User, kofi: User) -> None:
    payment = doubted()
    close(payment, "credit_taken", ama)
    close(payment, "credit_taken", ama)

    assert ReviewProposal.objects.count() == 1
    assert refused(payment, "credit_taken", kofi) == "already_proposed"


@pytest.mark.usefixtures("above_thousand")
def test_another_proposal_takes_the_place_of_the_first(doubted: Callable[..., Payment], ama: User, kofi: User) -> None:
    payment = doubted()
    close(payment, "credit_taken", ama)
    close(payment, "credit_price", kofi)

    assert list(ReviewProposal.objects.order_by("id").values_list("outcome", flat=True)) == ["replaced", "open"]
    assert close(payment, "credit_price", ama, approve=True).status == "successful"
    assert verified() == []


@pytest.mark.usefixtures("above_thousand")
def test_proposal_ends_when_feexpays_figure_changes(
    doubted: Callable[..., Payment], gateway: ModelGateway, ama: User, kofi: User
) -> None:
    payment = doubted()
    close(payment, "credit_taken", ama)
    gateway.last().lies = {"amount": 4000}

    assert refused(payment, "credit_taken", kofi, approve=True) == "answer_changed"
    assert ReviewProposal.objects.get().outcome == "outdated"
    assert refused(payment, "credit_taken", kofi, approve=True) == "no_proposal"


@pytest.mark.usefixtures("above_thousand")
def test_proposal_ends_when_feexpay_decides(doubted: Callable[..., Payment], gateway: ModelGateway, ama: User) -> None:
    payment = doubted()
    close(payment, "credit_price", ama)
    gateway.last().lies = {}

    reconcile(only_attempt(payment).pk, source=Source.WORKER)

    assert ReviewProposal.objects.get().outcome == "not_needed"
    assert verified() == []


@pytest.mark.parametrize(
    ("limit", "lies", "status"),
    [
        pytest.param(None, SHORT, "successful", id="unset"),
        pytest.param("", SHORT, "successful", id="empty"),
        pytest.param(5000, SHORT, "successful", id="not above"),
        pytest.param(4999, SHORT, "review", id="what was asked for is above"),
        pytest.param("5000", {"amount": 6000}, "review", id="what FeexPay took is above"),
        pytest.param(0, SHORT, "review", id="always two"),
    ],
)
def test_limit_is_held_against_the_larger_amount(
    limit: object, lies: dict[str, Any], status: str, configure: Configure, doubted: Callable[..., Payment], ama: User
) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=limit)

    assert close(doubted(**lies), "credit_taken", ama).status == status


@pytest.mark.usefixtures("above_thousand")
def test_one_person_closes_once_the_limit_was_lifted_and_nothing_stays_proposed(
    doubted: Callable[..., Payment], ama: User, configure: Configure
) -> None:
    payment = doubted()
    close(payment, "credit_taken", ama)
    configure(REVIEW_TWO_PERSON_ABOVE=None)

    assert close(payment, "credit_price", ama).status == "successful"
    assert ReviewProposal.objects.get().outcome == "not_needed"
    assert verified() == []


# --- at the same time ------------------------------------------------------------------------------------


def test_eight_people_at_once_make_one_credit(doubted: Callable[..., Payment], ama: User) -> None:
    payment = doubted()
    decisions = ("credit_taken", "credit_price")

    outcomes = at_once(8, lambda number: close(payment, decisions[number % 2], ama))

    assert sum(isinstance(outcome, Payment) for outcome in outcomes) == 1
    assert {getattr(outcome, "code", "") for outcome in outcomes if isinstance(outcome, Exception)} == {
        "not_under_review"
    }
    assert (Credit.objects.count(), OutboxMessage.objects.filter(signal="payment_succeeded").count()) == (1, 1)
    assert verified() == []


@pytest.mark.usefixtures("above_thousand")
def test_two_people_who_approve_at_once_make_one_credit(doubted: Callable[..., Payment], ama: User, kofi: User) -> None:
    payment = doubted()
    close(payment, "credit_taken", ama)
    third = User.objects.create_user("staff-efua")

    outcomes = at_once(4, lambda number: close(payment, "credit_taken", (kofi, third)[number % 2], approve=True))

    assert sum(isinstance(outcome, Payment) for outcome in outcomes) == 1
    assert (Credit.objects.count(), ReviewProposal.objects.get().outcome) == (1, "approved")
    assert verified() == []


@pytest.mark.usefixtures("above_thousand")
def test_proposal_that_is_replaced_while_feexpay_is_asked_is_not_approved(
    doubted: Callable[..., Payment], ama: User, kofi: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = doubted()
    close(payment, "credit_taken", ama)
    approvable = reviews._approvable

    def replace_first(*given: Any) -> ReviewProposal:
        found = approvable(*given)
        close(payment, "credit_price", ama)
        return found

    monkeypatch.setattr(reviews, "_approvable", replace_first)

    with pytest.raises(NotAllowedError, match="not_under_review"):
        close(payment, "credit_taken", kofi, approve=True)
    assert Credit.objects.count() == 0
    assert ReviewProposal.objects.get(outcome="open").decision == "credit_price"


def test_reference_that_is_found_while_a_person_decides_stops_them(
    lost: Payment, ama: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = reviews._close

    def find_first(*given: Any) -> None:
        Attempt.objects.update(gateway_reference="found-meanwhile")
        write(*given)

    monkeypatch.setattr(reviews, "_close", find_first)

    assert refused(lost, "not_paid", ama) == "not_under_review"


# --- asking goes on --------------------------------------------------------------------------------------


def test_review_is_asked_about_for_ever_and_ever_more_slowly(
    doubted: Callable[..., Payment], gateway: ModelGateway, clock: Clock
) -> None:
    payment = doubted()
    clock.advance(400 * 86_400)
    Attempt.objects.update(next_poll_at=clock.at)
    sweep()

    wait = (only_attempt(payment).next_poll_at or clock.at) - clock.at
    assert 40 <= wait.days <= 58
    gateway.last().lies = {}
    look_again(clock)
    payment.refresh_from_db()
    assert (payment.status, verified()) == ("successful", [])


def test_closed_as_paid_is_not_asked_about_again(doubted: Callable[..., Payment], ama: User) -> None:
    close(doubted(), "credit_taken", ama)

    assert Attempt.objects.get().next_poll_at is None
