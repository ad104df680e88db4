"""Evaluate FeexPay's report about an attempt. Pure functions: no query, no call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_feexpay.catalogue.outcomes import Word, same_reference
from django_feexpay.gateway.reports import StatusReport
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status that a report calls for, and why; None: no move, poll again later."""

    to_status: Status | None
    because: str


def evaluate_report(attempt: Attempt, report: StatusReport, now: datetime) -> Verdict:
    """Decide which status a report calls for, from the attempt, the report and the time alone.

    A success counts only if the report names our reference, echoes our attempt id, is about the payer's msisdn, and
    has the amount (with or without the fee) and the currency that we asked for. An unknown word is never a success
    and never a failure. A failure on a page that is still open is not final: the payer may try another card.
    """
    status = attempt.life_status
    mismatch = mismatch_of(attempt, report)
    if report.word is Word.SUCCESSFUL:
        doubt = mismatch or _missing_proof(attempt, report)
        return Verdict(Status.REVIEW, doubt) if doubt else Verdict(Status.SUCCESSFUL, "confirmed")
    if report.word is Word.FAILED:
        if status is Status.FAILED:  # staff may have closed it although its reference differs
            return Verdict(None, "waiting")
        if attempt.sought_by_echo and status in LIVE and now < attempt.expires_at:
            return Verdict(None, "may_be_tried_again")
        return Verdict(Status.REVIEW, mismatch) if mismatch else Verdict(Status.FAILED, "failed")
    if status in (Status.FAILED, Status.REJECTED) and report.word is not Word.MISSING:
        return Verdict(Status.REVIEW, "alive_after_failure")
    if now < attempt.expires_at or status not in LIVE:
        return Verdict(None, "waiting")
    if report.word is Word.PENDING:
        return Verdict(Status.EXPIRED, "payer_did_not_answer")
    return Verdict(Status.REVIEW, "unknown_to_gateway" if report.word is Word.MISSING else "unknown_word")


def mismatch_of(attempt: Attempt, report: StatusReport) -> str:
    """The code of the first fact in the report that contradicts the attempt, or ""."""
    if report.reference is not None and not same_reference(report.reference, attempt.gateway_reference or ""):
        return "reference_mismatch"
    if report.echo is not None and report.echo != str(attempt.pk):
        return "echo_mismatch"
    if not msisdn_agrees(attempt, report):
        return "msisdn_mismatch"
    if report.currency not in (None, attempt.payment.charged_currency):
        return "currency_mismatch"
    return ""


def _missing_proof(attempt: Attempt, report: StatusReport) -> str:
    """The code of the fact that a success lacks to be credited, or "".

    Some answers carry no amount. That is accepted for an msisdn but not for a card, where nothing else identifies the
    payer.
    """
    if report.reference is None:
        return "reference_missing"
    if report.echo is None:
        return "echo_missing"
    if report.amount is None and not attempt.masked_msisdn:
        return "amount_missing"
    return "" if amount_agrees(attempt, report.amount) else "amount_mismatch"


def amount_agrees(attempt: Attempt, amount: int | None) -> bool:
    """Whether the amount is what we asked for, with or without the fee; None agrees."""
    return amount in (None, attempt.amount, attempt.payment.charged_price + attempt.payment.fee)


def msisdn_agrees(attempt: Attempt, report: StatusReport) -> bool:
    """Whether the report is about the payer's msisdn; a missing one agrees."""
    known = attempt.masked_msisdn
    return not known or report.msisdn_ending is None or known.endswith(report.msisdn_ending)


def evidence_of(attempt: Attempt, report: StatusReport) -> dict[str, Any]:
    """The facts of a report that an event keeps; invariant I6 checks them."""
    return {
        "word": report.word,
        "reference": report.reference,
        "echo_matches": report.echo == str(attempt.pk),
        "amount": report.amount,
        "currency": report.currency,
        "asked_for": attempt.amount,
        "fee": attempt.payment.fee,
    }
