"""Above a limit one person proposes a decision and another approves it; also when both act concurrently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_feexpay.models import Attempt, Credit, OutboxMessage, Payment, ReviewProposal
from django_feexpay.payments import reviews
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.payments.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt
from tests.payments.reviewing import SHORT, broken_invariants, close, refused
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


# --- two persons ---------------------------------------------------------------------------------------


@pytest.fixture
def above_thousand(configure: Configure) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=1000)


@pytest.mark.usefixtures("above_thousand")
@pytest.mark.parametrize("decision", ["credit_taken", "credit_price"])
def test_one_person_proposes_and_another_one_closes(
    decision: str, start_review: Callable[..., Payment], ama: User, kofi: User, clock: Clock
) -> None:
    payment = close(start_review(), decision, ama, reason="the operator's receipt")
    assert (payment.status, Credit.objects.count()) == ("review", 0)
    assert broken_invariants() == []
    clock.advance(60)

    closed = close(payment, decision, kofi, approve=True)

    proposal = ReviewProposal.objects.get()
    assert (closed.status, proposal.outcome, proposal.reason) == ("successful", "approved", "the operator's receipt")
    assert (proposal.proposed_by, proposal.ended_by, proposal.ended_at) == (str(ama.pk), str(kofi.pk), clock.at)
    assert Credit.objects.get().event.actor == str(kofi.pk)
    assert broken_invariants() == []


@pytest.mark.usefixtures("above_thousand")
def test_not_paid_takes_two_persons_too(missing: Payment, ama: User, kofi: User) -> None:
    assert close(missing, "not_paid", ama).status == "review"
    assert close(missing, "not_paid", kofi, approve=True).status == "failed"
    assert broken_invariants() == []


@pytest.mark.usefixtures("above_thousand")
def test_proposer_cannot_approve(start_review: Callable[..., Payment], ama: User) -> None:
    payment = start_review()
    close(payment, "credit_taken", ama)

    assert refused(payment, "credit_taken", ama, approve=True) == "same_person"


@pytest.mark.usefixtures("above_thousand")
def test_only_the_proposed_decision_can_be_approved(
    start_review: Callable[..., Payment], ama: User, kofi: User
) -> None:
    payment = start_review()
    assert refused(payment, "credit_taken", kofi, approve=True) == "no_proposal"
    close(payment, "credit_taken", ama)

    assert refused(payment, "credit_price", kofi, approve=True) == "no_proposal"


@pytest.mark.usefixtures("above_thousand")
def test_repeated_proposal_writes_no_second_row(start_review: Callable[..., Payment], ama: User, kofi: User) -> None:
    payment = start_review()
    close(payment, "credit_taken", ama)
    close(payment, "credit_taken", ama)

    assert ReviewProposal.objects.count() == 1
    assert refused(payment, "credit_taken", kofi) == "already_proposed"


@pytest.mark.usefixtures("above_thousand")
def test_another_proposal_replaces_the_first(start_review: Callable[..., Payment], ama: User, kofi: User) -> None:
    payment = start_review()
    close(payment, "credit_taken", ama)
    close(payment, "credit_price", kofi)

    assert list(ReviewProposal.objects.order_by("id").values_list("outcome", flat=True)) == ["replaced", "open"]
    assert close(payment, "credit_price", ama, approve=True).status == "successful"
    assert broken_invariants() == []


@pytest.mark.usefixtures("above_thousand")
def test_proposal_ends_when_feexpays_amount_changes(
    start_review: Callable[..., Payment], gateway: ModelGateway, ama: User, kofi: User
) -> None:
    payment = start_review()
    close(payment, "credit_taken", ama)
    gateway.last().lies = {"amount": 4000}

    assert refused(payment, "credit_taken", kofi, approve=True) == "answer_changed"
    assert ReviewProposal.objects.get().outcome == "outdated"
    assert refused(payment, "credit_taken", kofi, approve=True) == "no_proposal"


@pytest.mark.usefixtures("above_thousand")
def test_proposal_ends_when_feexpay_decides(
    start_review: Callable[..., Payment], gateway: ModelGateway, ama: User, clock: Clock
) -> None:
    payment = start_review()
    close(payment, "credit_price", ama)
    gateway.last().lies = {}
    clock.advance(60)

    reconcile(only_attempt(payment).pk, source=Source.WORKER)

    proposal = ReviewProposal.objects.get()
    assert (proposal.outcome, proposal.ended_by, proposal.ended_at) == ("not_needed", "", clock.at)
    assert broken_invariants() == []


@pytest.mark.usefixtures("above_thousand")
def test_decision_about_one_payment_ends_no_proposal_of_another(
    start_review: Callable[..., Payment], ama: User, kofi: User
) -> None:
    one, other = start_review("order-1"), start_review("order-2")
    close(one, "credit_taken", ama)
    close(other, "credit_taken", ama)

    close(one, "credit_taken", kofi, approve=True)

    outcomes = ReviewProposal.objects.order_by("id").values_list("attempt__payment", "outcome")
    assert list(outcomes) == [(one.pk, "approved"), (other.pk, "open")]


@pytest.mark.parametrize(
    ("limit", "lies", "status"),
    [
        pytest.param(None, SHORT, "successful", id="unset"),
        pytest.param("", SHORT, "successful", id="empty"),
        pytest.param(5000, SHORT, "successful", id="not above"),
        pytest.param(4999, SHORT, "review", id="the amount asked for is above"),
        pytest.param("5000", {"amount": 6000}, "review", id="the amount taken is above"),
        pytest.param(0, SHORT, "review", id="always two"),
    ],
)
def test_limit_applies_to_the_larger_amount(
    limit: object,
    lies: dict[str, Any],
    status: str,
    configure: Configure,
    start_review: Callable[..., Payment],
    ama: User,
) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=limit)

    assert close(start_review(**lies), "credit_taken", ama).status == status


@pytest.mark.usefixtures("above_thousand")
def test_without_the_limit_one_person_closes_and_the_proposal_ends(
    start_review: Callable[..., Payment], ama: User, configure: Configure
) -> None:
    payment = start_review()
    close(payment, "credit_taken", ama)
    configure(REVIEW_TWO_PERSON_ABOVE=None)

    assert close(payment, "credit_price", ama).status == "successful"
    proposal = ReviewProposal.objects.get()
    assert (proposal.outcome, proposal.ended_by) == ("not_needed", str(ama.pk))
    assert broken_invariants() == []


# --- at the same time ------------------------------------------------------------------------------------


@pytest.mark.postgres_only
def test_eight_concurrent_decisions_make_one_credit(start_review: Callable[..., Payment], ama: User) -> None:
    payment = start_review()
    decisions = ("credit_taken", "credit_price")

    outcomes = at_once(8, lambda number: close(payment, decisions[number % 2], ama))

    assert sum(isinstance(outcome, Payment) for outcome in outcomes) == 1
    assert {getattr(outcome, "code", "") for outcome in outcomes if isinstance(outcome, Exception)} == {
        "not_under_review"
    }
    assert (Credit.objects.count(), OutboxMessage.objects.filter(signal="payment_succeeded").count()) == (1, 1)
    assert broken_invariants() == []


@pytest.mark.postgres_only
@pytest.mark.usefixtures("above_thousand")
def test_two_concurrent_approvals_make_one_credit(start_review: Callable[..., Payment], ama: User, kofi: User) -> None:
    payment = start_review()
    close(payment, "credit_taken", ama)
    third = User.objects.create_user("staff-efua")

    outcomes = at_once(4, lambda number: close(payment, "credit_taken", (kofi, third)[number % 2], approve=True))

    assert sum(isinstance(outcome, Payment) for outcome in outcomes) == 1
    assert (Credit.objects.count(), ReviewProposal.objects.get().outcome) == (1, "approved")
    assert broken_invariants() == []


@pytest.mark.usefixtures("above_thousand")
def test_proposal_replaced_during_the_call_is_not_approved(
    start_review: Callable[..., Payment], ama: User, kofi: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = start_review()
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


def test_reference_found_during_the_call_stops_the_decision(
    missing: Payment, ama: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = reviews._close

    def find_first(*given: Any) -> None:
        Attempt.objects.update(gateway_reference="found-meanwhile")
        write(*given)

    monkeypatch.setattr(reviews, "_close", find_first)

    assert refused(missing, "not_paid", ama) == "not_under_review"
