"""Invariant I13: how reviews were closed."""

from __future__ import annotations

from collections.abc import Iterator

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.lifecycle import Status
from django_feexpay.models import (
    PaymentEvent,
    ReviewDecision,
    ReviewProposal,
)
from django_feexpay.payments.invariants.reading import columns_of


def review_is_closed_by_a_person() -> Iterator[str]:
    """I13: each closed review names a person and a reason.

    If the amount was above the limit at the time of closing, a second person approved it. `not_paid` never contradicts
    FeexPay. A proposal is open only while its attempt is under review.
    """
    closings = PaymentEvent.objects.filter(because__in=ReviewDecision.values).select_related("attempt")
    for event in closings.order_by("pk").iterator():
        if problem := _problem_of_review(event):
            yield f"event {event.pk}: {problem}"
    waiting = ReviewProposal.objects.filter(outcome=ReviewProposal.Outcome.OPEN)
    for pk, status in columns_of(waiting.exclude(attempt__status=Status.REVIEW), "pk", "attempt__status"):
        yield f"proposal {pk}: it waits for a second person, its attempt is {status}"


def _problem_of_review(event: PaymentEvent) -> str:
    """The problem of how a review was closed, or ""."""
    not_paid = event.because == ReviewDecision.NOT_PAID
    ends = Status.FAILED if not_paid else Status.SUCCESSFUL
    if (event.from_status, event.to_status) != (Status.REVIEW, ends):
        return f"{event.because} closes a review, this moved {event.from_status} to {event.to_status}"
    if not event.actor or not event.note:
        return f"{event.because} without {'a reason' if event.actor else 'an actor'}"
    if not_paid and event.evidence.get("word") not in (Word.FAILED, Word.MISSING) and not event.evidence.get("holder"):
        return f"not paid, and FeexPay said {event.evidence.get('word')}"
    return _missing_second_person(event)


def _missing_second_person(event: PaymentEvent) -> str:
    limit, proposal_id = event.evidence.get("two_person_above"), event.evidence.get("proposal")
    amount = max(event.attempt.amount, event.evidence.get("amount") or 0)
    if proposal_id is None:
        return "" if limit is None or amount <= limit else f"{amount} is above {limit}, and one person closed it"
    approved = ReviewProposal.objects.filter(pk=proposal_id, attempt=event.attempt_id, decision=event.because)
    approved = approved.filter(outcome=ReviewProposal.Outcome.APPROVED, ended_by=event.actor)
    if not approved.exclude(proposed_by=event.actor).exists():
        return "approved by the person who proposed it, or never proposed"
    return ""
