"""Violations by a closed review: I6 checks its amount, I13 the people who closed it."""

from __future__ import annotations

from typing import Any

import pytest

from django_feexpay import conf
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment, PaymentEvent, ReviewProposal
from django_feexpay.payments.invariants import INVARIANTS, violations
from django_feexpay.payments.ledger import Cause, Source, move
from tests.payments.fakes import only_attempt
from tests.payments.test_invariants import add_event, credited, waiting

__all__ = ["credited", "waiting"]  # fixtures

pytestmark = pytest.mark.django_db


def closed(payment: Payment, because: str, *, credited: int | None = None, **changes: Any) -> Attempt:
    """A review closed as `reviews` does it, with `changes` to the event and its evidence."""
    attempt = only_attempt(payment)
    move(attempt.pk, Status.REVIEW, Cause(source=Source.WORKER, because="amount_mismatch"))
    evidence = {"word": "missing" if because == "not_paid" else "successful", "amount": 4999}
    evidence |= changes.pop("evidence", {})
    cause = {"source": Source.ADMIN, "because": because, "actor": "7", "note": "seen", "evidence": evidence} | changes
    to_status = Status.FAILED if because == "not_paid" else Status.SUCCESSFUL
    assert move(attempt.pk, to_status, Cause(**cause), credited_amount=credited)
    return attempt


def approved(attempt: Attempt, **changes: str) -> ReviewProposal:
    columns: dict[str, Any] = {
        "attempt": attempt,
        "decision": "credit_taken",
        "reason": "seen",
        "gateway_word": "successful",
        "gateway_amount": 4999,
        "source": Source.ADMIN,
        "proposed_by": "8",
        "proposed_at": conf.now(),
        "outcome": "approved",
        "ended_by": "7",
        "ended_at": conf.now(),
    }
    return ReviewProposal.objects.create(**(columns | changes))


@pytest.mark.parametrize(("because", "credited"), [("credit_taken", 4999), ("credit_price", None), ("not_paid", None)])
def test_review_that_a_person_closed_has_no_violation(waiting: Payment, because: str, credited: int | None) -> None:
    closed(waiting, because, credited=credited)

    assert list(violations()) == []


def test_i6_reports_a_credit_out_of_review_without_proof_or_decision(waiting: Payment) -> None:
    closed(waiting, "confirmed", evidence={"word": None})

    assert list(INVARIANTS["I6"]()) == [f"credit {waiting.pk}: no report said successful"]


@pytest.mark.parametrize(
    ("because", "credited", "evidence", "flaw"),
    [
        ("credit_taken", 5000, {}, "5000 XOF, FeexPay took 4999 XOF"),
        ("credit_taken", None, {}, "5000 XOF, FeexPay took 4999 XOF"),
        ("credit_taken", 4999, {"amount": None}, "4999 XOF, FeexPay took None XOF"),
        ("credit_taken", 4999, {"word": "pending"}, "closed with FeexPay's amount, but FeexPay gave none"),
        ("credit_price", 4999, {}, "4999 XOF, asked for 5000 XOF"),
    ],
)
def test_i6_reports_a_closing_with_any_other_amount(
    waiting: Payment, because: str, credited: int | None, evidence: dict[str, Any], flaw: str
) -> None:
    closed(waiting, because, credited=credited, evidence=evidence)

    assert list(INVARIANTS["I6"]()) == [f"credit {waiting.pk}: {flaw}"]


@pytest.mark.parametrize(
    ("because", "changes", "flaw"),
    [
        ("credit_taken", {"actor": ""}, "credit_taken without an actor"),
        ("credit_price", {"note": ""}, "credit_price without a reason"),
        ("not_paid", {"actor": ""}, "not_paid without an actor"),
        ("not_paid", {"evidence": {"word": "successful"}}, "not paid, and FeexPay said successful"),
        ("not_paid", {"evidence": {"word": "pending"}}, "not paid, and FeexPay said pending"),
        (
            "credit_taken",
            {"evidence": {"two_person_above": 1000}},
            "5000 is above 1000, and one person closed it",
        ),
        (
            "credit_taken",
            {"evidence": {"two_person_above": 5000, "amount": 6000}},
            "6000 is above 5000, and one person closed it",
        ),
        ("credit_taken", {"evidence": {"proposal": 0}}, "approved by the person who proposed it, or never proposed"),
    ],
)
def test_i13_reports_a_closing_without_its_people(
    waiting: Payment, because: str, changes: dict[str, Any], flaw: str
) -> None:
    attempt = closed(waiting, because, **changes)

    event = PaymentEvent.objects.filter(attempt=attempt).latest("id")
    assert list(INVARIANTS["I13"]()) == [f"event {event.pk}: {flaw}"]


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"proposed_by": "7"}, False),
        ({"ended_by": "9"}, False),
        ({"outcome": "replaced"}, False),
        ({"decision": "credit_price"}, False),
    ],
    ids=str,
)
def test_i13_requires_a_proposal_that_a_second_person_approved(
    waiting: Payment, changes: dict[str, str], holds: bool
) -> None:
    proposal = approved(only_attempt(waiting), **changes)
    closed(waiting, "credit_taken", credited=4999, evidence={"two_person_above": 1000, "proposal": proposal.pk})

    assert (list(INVARIANTS["I13"]()) == []) is holds


def test_i13_reports_a_decision_that_closed_no_review(credited: Payment) -> None:
    add_event(only_attempt(credited), "pending", "failed", because="not_paid")

    event = PaymentEvent.objects.latest("id")
    assert list(INVARIANTS["I13"]()) == [f"event {event.pk}: not_paid closes a review, this moved pending to failed"]


def test_i13_reports_an_open_proposal_without_review(waiting: Payment) -> None:
    proposal = approved(only_attempt(waiting), outcome="open")

    assert list(INVARIANTS["I13"]()) == [
        f"proposal {proposal.pk}: it waits for a second person, its attempt is pending"
    ]
