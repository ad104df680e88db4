"""Invariants I1 and I6: the sum of the credits, and the proof of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, Sum, Value

from django_feexpay.catalogue import money
from django_feexpay.catalogue.outcomes import Word, same_reference
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Payment, ReviewDecision


def credits_add_up() -> Iterator[str]:
    """I1: in each currency, the credits add up to the confirmed charged amounts.

    Credits of the amount that FeexPay took instead of what we asked for are left out: I6 checks each of them.
    """
    paid = Exists(Attempt.objects.filter(payment=OuterRef("pk"), status=Status.SUCCESSFUL))
    of_another_amount = Credit.objects.filter(payment=OuterRef("pk"), event__because=ReviewDecision.CREDIT_TAKEN)
    payments = Payment.objects.exclude(Exists(of_another_amount)).order_by().values("charged_currency")
    credited = payments.annotate(side=Value("credited"), total=Sum("credit__amount", default=0))
    confirmed = payments.filter(paid).annotate(side=Value("confirmed"), total=Sum("charged_amount", default=0))
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    # One statement, though each side is read by itself. Django 6.1 gives the union the model's ordering.
    for row in credited.union(confirmed, all=True).order_by():
        sums[row["charged_currency"]][row["side"]] += row["total"]
    for currency, sides in sorted(sums.items()):
        if sides["credited"] != sides["confirmed"]:
            yield f"{currency}: credited {sides['credited']}, confirmed {sides['confirmed']}"


def credit_has_proof() -> Iterator[str]:
    """I6: each credit names an event whose report proves it.

    The report has our reference, attempt id, amount and currency. A review that a person closed is the exception:
    its credit is FeexPay's amount in the evidence, or the amount that we asked for. I13 checks who closed it and why.
    This check repeats `report_evaluation` on purpose.
    """
    for row in Credit.objects.order_by().values_list("pk", *_PROOF_COLUMNS).iterator():
        if problem := _problem_of_credit(_Proof(*row[1:])):
            yield f"credit {row[0]}: {problem}"


class _Proof(NamedTuple):
    """What `_problem_of_credit` reads of a credit. This check reads every one, and model instances take much longer."""

    amount: int
    currency: str
    attempt_id: UUID
    asked_for: int
    reference: str | None
    proved_attempt_id: UUID
    to_status: str
    because: str
    evidence: Mapping[str, Any]
    price: int
    price_currency: str
    charged_currency: str
    exchange_rate: Decimal | None
    fee: int


_PROOF_COLUMNS = (
    *("amount", "currency", "attempt_id", "attempt__amount", "attempt__gateway_reference"),
    *("event__attempt_id", "event__to_status", "event__because", "event__evidence"),
    *("payment__amount", "payment__currency", "payment__charged_currency", "payment__exchange_rate", "payment__fee"),
)


def _problem_of_credit(proof: _Proof) -> str:
    """The problem of a credit, or ""."""
    if (proof.proved_attempt_id, proof.to_status) != (proof.attempt_id, Status.SUCCESSFUL):
        return "its event is not the success of its attempt"
    credited = f"{proof.amount} {proof.currency}"
    if proof.because == ReviewDecision.CREDIT_TAKEN:
        taken = proof.evidence.get("amount")
        if proof.evidence.get("word") != Word.SUCCESSFUL:
            return "closed with FeexPay's amount, but FeexPay gave none"
        if (proof.amount, proof.currency) != (taken, proof.charged_currency):
            return f"{credited}, FeexPay took {taken} {proof.charged_currency}"
        return ""
    if (proof.amount, proof.currency) != (proof.asked_for, proof.charged_currency):
        return f"{credited}, asked for {proof.asked_for} {proof.charged_currency}"
    return "" if proof.because == ReviewDecision.CREDIT_PRICE else _missing_proof(proof)


def _missing_proof(proof: _Proof) -> str:
    report = proof.evidence
    if report.get("word") != Word.SUCCESSFUL:
        return "no report said successful"
    if not same_reference(report.get("reference") or "", proof.reference or "?"):
        return "the report was about another reference"
    if report.get("echo_matches") is not True:
        return "the report did not echo the attempt"
    if report.get("amount") not in (None, proof.asked_for) and report.get("amount") != _price(proof) + proof.fee:
        return f"the report was of {report.get('amount')}, asked for {proof.asked_for}"
    if report.get("currency") not in (None, proof.charged_currency):
        return f"the report was in {report.get('currency')}, asked for {proof.charged_currency}"
    return ""


def _price(proof: _Proof) -> int:
    """The price in the charged currency."""
    if proof.exchange_rate is None:
        return proof.price
    return money.convert(proof.price, proof.price_currency, proof.charged_currency, proof.exchange_rate)
