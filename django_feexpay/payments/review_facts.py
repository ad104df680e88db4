"""FeexPay's facts about an attempt under review, on which a person decides."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.catalogue import money
from django_feexpay.catalogue.outcomes import Word, same_reference, spellings_of
from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.gateway.reports import HistoryRow, StatusReport
from django_feexpay.models import Attempt
from django_feexpay.payments import history_search, reconcile
from django_feexpay.payments.admission import rate_budget
from django_feexpay.payments.ledger import Source

#: Deadline of all questions together, and of each. A web server usually gives a page thirty seconds.
TIMEOUT_SECONDS = 20.0
ONE_QUESTION_SECONDS = 5.0

#: Money was taken or may be taken; an unknown word may mean either.
CHARGED = frozenset({Word.SUCCESSFUL, Word.PENDING, Word.UNKNOWN})

#: Of several answers about one attempt, the one closest to a charge counts.
_WEIGHT = {Word.SUCCESSFUL: 4, Word.PENDING: 3, Word.UNKNOWN: 2, Word.FAILED: 1, Word.MISSING: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """FeexPay's data about an attempt.

    report: the answer closest to a charge, under our reference or our id; MISSING if FeexPay shows no payment.
    is_proof: True if the report is FeexPay's status of that payment, False if it is a history row. history_complete:
    None if the history was not needed. holder: our other attempt that has the payment's reference.
    """

    report: StatusReport
    asked_at: datetime
    is_proof: bool = True
    history_complete: bool | None = None
    holder: Attempt | None = None

    @property
    def shows_charge(self) -> bool:
        return self.report.word in CHARGED

    @property
    def fingerprint(self) -> str:
        """A text that changes when a fact changes that a decision depends on."""
        return f"{self.report.word}:{self.report.amount}"


def fetch(attempt: Attempt, *, source: Source) -> Facts:
    """Ask FeexPay about an attempt under review.

    It asks by the reference, and if that shows no charge, by our id in the history.
    Must run outside a transaction. Changes: the attempt's reference, if the history shows one.
    Raises: GatewayError if FeexPay does not answer. Safe to repeat: yes.
    """
    ends_at = time.monotonic() + TIMEOUT_SECONDS
    rate_budget.wait_seconds(rate_budget.SENDING)  # counted, never refused: a person waits
    asked_at = conf.now()
    by_reference = None
    if attempt.gateway_reference is not None and not attempt.sought_by_echo:
        by_reference = _status_of(attempt.gateway_reference)
        if by_reference.word in CHARGED:
            return Facts(report=by_reference, asked_at=asked_at, holder=_holder(attempt, by_reference))
    found = history_search.search(
        attempt,
        timeout_seconds=max(0.0, ends_at - time.monotonic() - ONE_QUESTION_SECONDS),
        longest_question_seconds=ONE_QUESTION_SECONDS,
    )
    if by_reference is None and not found.answered:
        raise OutcomeUnknownError("FeexPay's history did not answer")
    report, is_proof = _closest_to_a_charge(attempt, by_reference, found.row, source)
    return Facts(
        report=report,
        asked_at=asked_at,
        is_proof=is_proof,
        history_complete=found.complete,
        holder=_holder(attempt, report),
    )


def _status_of(reference: str) -> StatusReport:
    return conf.gateway().fetch_status(reference, total_seconds=ONE_QUESTION_SECONDS)


def _closest_to_a_charge(
    attempt: Attempt, by_reference: StatusReport | None, row: HistoryRow | None, source: Source
) -> tuple[StatusReport, bool]:
    """The answer closest to a charge; True if it is a status, False if a history row."""
    if row is None:
        if by_reference is None and attempt.gateway_reference is not None:
            by_reference = _status_of(attempt.gateway_reference)  # given by a payment page or by an OTP request
        return by_reference or StatusReport(word=Word.MISSING), True
    listed = replace(row.report, echo=str(attempt.pk))
    asked = [by_reference] if by_reference is not None else []
    if by_reference is None and _takes_reference(attempt, str(listed.reference), source):
        status = _status_of(str(attempt.gateway_reference))
        asked.append(
            replace(
                status,
                echo=listed.echo if status.echo is None else status.echo,
                amount=listed.amount if status.amount is None else status.amount,
            )
        )
    best = max([*asked, listed], key=lambda report: _WEIGHT[report.word])  # if both are equal, max takes the status
    return best, best is not listed


def _takes_reference(attempt: Attempt, reference: str, source: Source) -> bool:
    """Whether the attempt holds the row's reference. An attempt without a reference gets this one."""
    known = attempt.gateway_reference
    if known is not None and same_reference(known, reference):
        return True
    return reconcile.record_reference(attempt, reference, source) and same_reference(
        str(attempt.gateway_reference), reference
    )


def _holder(attempt: Attempt, report: StatusReport) -> Attempt | None:
    """The other attempt that holds the reference: a charge is never credited twice."""
    if report.reference is None:
        return None
    others = Attempt.objects.exclude(pk=attempt.pk).select_related("payment")
    return others.filter(gateway_reference__in=spellings_of(report.reference)).first()


def describe_report(attempt: Attempt, report: StatusReport, *, history_complete: bool | None = None) -> str:
    """The answer in words: `FeexPay took 6 999 F CFA of 7 000 F CFA, reference REF.`"""
    said = _answer_text(attempt, report, history_complete)
    if report.reference:
        return _("%(said)s, reference %(reference)s.") % {"said": said, "reference": report.reference}
    return f"{said}."


def _answer_text(attempt: Attempt, report: StatusReport, history_complete: bool | None) -> str:
    if report.word is Word.SUCCESSFUL:
        if report.amount is None:
            return _("FeexPay says that money was taken, but not how much")
        return _("FeexPay took %(amount)s") % {"amount": _taken(attempt, report.amount)}
    if report.word is Word.UNKNOWN:
        return _("FeexPay answered with an unknown status: “%(word)s”") % {"word": report.raw_word}
    if report.word is Word.PENDING:
        return _("FeexPay still waits for the payer")
    if report.word is Word.FAILED:
        return _("FeexPay says that the payment failed and nothing was taken")
    if history_complete is False:
        return _("FeexPay showed no such payment, but did not show its whole history")
    return _("FeexPay knows no such payment")


def _taken(attempt: Attempt, amount: int) -> str:
    currency = attempt.payment.charged_currency
    taken, asked_for = (money.show(value, currency) for value in (amount, attempt.amount))
    if amount == attempt.amount:
        return taken
    return _("%(taken)s of %(asked_for)s") % {"taken": taken, "asked_for": asked_for}
