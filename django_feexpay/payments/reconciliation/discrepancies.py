"""Discrepancies between an attempt and FeexPay's history: find, ask, store.

The history only shows about which attempts to ask FeexPay: it credits, fails and closes none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import Word, same_reference, spellings_of
from django_feexpay.gateway.reports import HistoryRow, StatusReport
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt, Comparison, Discrepancy, Finding, Incident, ReviewDecision
from django_feexpay.payments import leases, reconcile, second_charges
from django_feexpay.payments.history_search import attempt_ids_in
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.report_evaluation import amount_agrees
from django_feexpay.payments.second_charges import Checked

Kind = Discrepancy.Kind
State = Discrepancy.State
Outcome = Discrepancy.Outcome

#: The statuses that agree with FeexPay's final words.
_AGREE = {Word.SUCCESSFUL: {Status.SUCCESSFUL}, Word.FAILED: {Status.FAILED, Status.REJECTED}}

#: The statuses that agree with any other word. CREATED does not: it means that the attempt was never sent.
_UNSETTLED = (LIVE - {Status.CREATED}) | {Status.EXPIRED, Status.REVIEW}

#: A discrepancy in one of these states ends when a comparison of its attempt does not find it again.
_MAY_END = (State.OPEN, State.CLOSED)

_OUTCOME_OF = {
    Checked.SECOND_CHARGE: Outcome.INCIDENT,
    Checked.NOT_CONFIRMED: Outcome.NO_CHANGE,
    Checked.NO_ANSWER: Outcome.NO_ANSWER,
}


@dataclass(frozen=True, slots=True)
class Found:
    """A discrepancy before it is stored. attempt or row is None if that side has nothing."""

    kind: Kind
    attempt: Attempt | None
    row: HistoryRow | None

    @property
    def identity(self) -> str:
        """Equal for the same discrepancy found again."""
        if self.attempt is not None and self.kind is not Kind.SECOND_ROW:
            return f"{self.kind}:{self.attempt.pk}"
        ids = attempt_ids_in(self.row) if self.row else []
        return f"{self.kind}:{self.report.reference or (ids[0] if ids else None)}"

    @property
    def report(self) -> StatusReport:
        return StatusReport(word=Word.MISSING) if self.row is None else self.row.report

    @property
    def money_at_stake(self) -> bool:
        """One side says that the money was taken, and the other does not."""
        if self.kind is Kind.SECOND_ROW:
            return self.report.word is Word.SUCCESSFUL
        return self.report.word is Word.SUCCESSFUL or (
            self.attempt is not None and self.attempt.life_status is Status.SUCCESSFUL
        )


# --- find ----------------------------------------------------------------------------------------------


def matching(rows: Collection[HistoryRow]) -> dict[HistoryRow, Attempt]:
    """Find our attempt for each row by id, else by reference. Two statements."""
    ids = {row: known[0] for row in rows if (known := attempt_ids_in(row))}
    attempts = Attempt.objects.select_related("payment__provider")
    by_id = attempts.in_bulk(set(ids.values()))
    unmatched = [row for row in rows if ids.get(row) not in by_id]
    spellings = {
        spelling for row in unmatched if row.report.reference for spelling in spellings_of(row.report.reference)
    }
    by_reference = {
        str(attempt.gateway_reference).casefold(): attempt
        for attempt in attempts.filter(gateway_reference__in=spellings)
    }
    found = {row: by_id[known] for row, known in ids.items() if known in by_id}
    for row in unmatched:
        attempt = by_reference.get((row.report.reference or "").casefold())
        if attempt is not None:
            found[row] = attempt
    return found


def between(attempt: Attempt, row: HistoryRow) -> Iterator[Kind]:
    """The kinds of discrepancy between an attempt and its row; none while it is being sent."""
    report, status = row.report, attempt.life_status
    if status is Status.SENDING:
        return
    if attempt.gateway_reference is None:
        if report.reference:
            yield Kind.REFERENCE
    elif _has_other_reference(attempt, report):
        # A paid one is a second charge of a credited attempt; of any other attempt it may be the one to credit.
        if report.word is Word.SUCCESSFUL:
            yield Kind.SECOND_ROW if status is Status.SUCCESSFUL else Kind.STATUS
        # On a page the payer may try several cards, and an OTP is a second step: each may have a row of its own.
        elif not attempt.sought_by_echo and attempt.payment.provider.spec.flow != "otp":
            yield Kind.SECOND_ROW
        return
    if not amount_agrees(attempt, report.amount) and not _staff_decided_amount(attempt, report):
        yield Kind.AMOUNT
    if not agrees(status, report.word):
        yield Kind.STATUS


def _has_other_reference(attempt: Attempt, report: StatusReport) -> bool:
    known = attempt.gateway_reference
    return bool(report.reference and known) and not same_reference(str(report.reference), str(known))


def _staff_decided_amount(attempt: Attempt, report: StatusReport) -> bool:
    """Whether a person closed the attempt's review when FeexPay showed this amount."""
    closings = attempt.events.filter(from_status=Status.REVIEW, because__in=ReviewDecision.values)
    return closings.filter(evidence__amount=report.amount).exists()


def agrees(status: Status, word: Word) -> bool:
    """Whether FeexPay's word agrees with an attempt's status."""
    return status in _AGREE.get(word, _UNSETTLED)


# --- ask about it --------------------------------------------------------------------------------------


def repair(found: Found, source: Source, note: str) -> Outcome:
    """Ask FeexPay about the attempt, settle it by the answer, and return the outcome.

    Changes: the attempt, by `ledger.move`; its reference if it had none; Incident. Safe to repeat: yes.
    """
    attempt, kind = found.attempt, found.kind
    if attempt is None:
        return Outcome.NOT_ASKED
    if kind is Kind.SECOND_ROW:
        return _check_second_row(attempt, found)
    had_no_reference = attempt.gateway_reference is None
    if kind is Kind.REFERENCE and not attempt.sought_by_echo:
        reconcile.record_reference(attempt, str(found.report.reference), source)
    if kind is Kind.STATUS and _has_other_reference(attempt, found.report):
        # FeexPay refused its OTP but charged it: accept any payment that echoes its id, until one is credited.
        Attempt.objects.filter(pk=attempt.pk).exclude(status=Status.SUCCESSFUL).update(sought_by_echo=True)
    before = attempt.life_status
    report = reconcile.ask(attempt.pk, source=source, note=note)
    attempt.refresh_from_db()
    if had_no_reference:  # poll it again if it is credited now: another of its rows may have been compared before
        leases.make_credited_due_now(attempt)
    if report is None:
        leases.make_due_now(attempt)
    reversals = attempt.incidents.filter(kind=Incident.Kind.REVERSED_AFTER_CREDIT)
    if report is not None and report.takes_back and reversals.exists():
        return Outcome.INCIDENT
    if kind is Kind.REFERENCE:
        return Outcome.NO_CHANGE if attempt.gateway_reference is None else Outcome.ADOPTED
    if report is None:
        return Outcome.NO_ANSWER
    if not _is_explained(found, attempt.life_status, report):
        return Outcome.NO_CHANGE
    return Outcome.CONFIRMED if attempt.life_status is before else Outcome.MOVED


def _check_second_row(attempt: Attempt, found: Found) -> Outcome:
    if found.row is None or found.report.word is not Word.SUCCESSFUL:
        return Outcome.NOT_ASKED
    answer = second_charges.check(attempt.pk, str(found.report.reference), found.row)
    if answer is Checked.NO_ANSWER:
        leases.make_credited_due_now(attempt)
    return _OUTCOME_OF[answer]


def _is_explained(found: Found, status: Status, answer: StatusReport) -> bool:
    """Whether the attempt's status after the answer explains the discrepancy.

    A discrepancy stays open for staff if two final words of FeexPay contradict each other, or if the amounts differ.
    """
    if found.kind is Kind.MISSING_THERE:
        return answer.word is not Word.MISSING and agrees(status, answer.word)
    if found.kind is Kind.AMOUNT:
        return False
    listed = found.report.word
    return agrees(status, listed if listed in _AGREE else answer.word)


# --- store it ------------------------------------------------------------------------------------------


def record(comparison: Comparison, found: Found) -> Discrepancy:
    """Store a discrepancy, or update its row.

    It is open, unless staff closed it and its facts did not change.
    Changes: Discrepancy. Safe to repeat: yes.
    """
    columns = _columns(found)
    row, is_new = Discrepancy.objects.get_or_create(
        identity=found.identity,
        defaults={
            "kind": found.kind,
            "comparison": comparison,
            "last_comparison": comparison,
            "found_at": conf.now(),
            **columns,
        },
    )
    if is_new:
        return row
    before = row.facts()
    for name, value in columns.items():
        setattr(row, name, value)
    row.last_comparison = comparison
    if row.state != State.CLOSED or row.facts() != before:
        row.state, row.outcome, row.ended_at, row.ended_by = State.OPEN, Outcome.NOT_ASKED, None, None
    row.save()
    return row


def _columns(found: Found) -> dict[str, Any]:
    attempt, row, report = found.attempt, found.row, found.report
    columns: dict[str, Any] = {
        "gateway_reference": report.reference or (attempt.gateway_reference if attempt else None) or "",
        "echo": report.echo or "",
        "their_word": "" if row is None else report.word,
        "their_amount": report.amount,
        "their_date": "" if row is None else row.created_at,
        "money_at_stake": found.money_at_stake,
    }
    if attempt is not None:
        columns |= {
            "attempt": attempt,
            "payment": attempt.payment,
            "our_status": attempt.status,
            "our_amount": attempt.amount,
            "currency": attempt.payment.charged_currency,
        }
    return columns


def record_outcome(row: Discrepancy, outcome: Outcome) -> None:
    """Write the outcome of asking; settle the discrepancy if it is explained.

    If staff closed it while FeexPay was asked, it stays closed.
    Changes: Discrepancy. Safe to repeat: yes.
    """
    written: dict[str, Any] = {"outcome": outcome}
    if outcome in (Outcome.MOVED, Outcome.CONFIRMED, Outcome.ADOPTED):
        written |= {"state": State.SETTLED, "ended_at": conf.now()}
    Discrepancy.objects.still_open().filter(pk=row.pk).update(**written)
    row.refresh_from_db(fields=["outcome", "state", "ended_at", "note"])


def record_finding(comparison: Comparison, row: Discrepancy) -> None:
    """Write how a comparison left a discrepancy, which may end later.

    Changes: Finding. Safe to repeat: yes, the last call counts.
    """
    left = {"is_open": row.state == State.OPEN, "money_at_stake": row.money_at_stake}
    Finding.objects.update_or_create(comparison=comparison, difference=row, defaults=left)


def about(start: datetime, end: datetime) -> list[Discrepancy]:
    """The open and closed discrepancies of attempts sent from `start` to before `end`, and of those never sent.

    Second rows are left out: one comparison that does not see the row does not end them.
    """
    sent = Q(attempt__sent_at__gte=start, attempt__sent_at__lt=end)
    unsent = Q(attempt__isnull=False, attempt__sent_at=None)
    rows = Discrepancy.objects.filter(sent | unsent, state__in=_MAY_END).exclude(kind=Kind.SECOND_ROW)
    return list(rows.select_related("attempt__payment__provider").order_by("pk"))


def end(row: Discrepancy, comparison: Comparison) -> None:
    """End an open or closed discrepancy that a comparison of its attempt did not find again.

    A closed one ends, too, with its note: what staff decided about does not cover the same difference if it comes back.
    Changes: Discrepancy. Safe to repeat: yes.
    """
    not_ended = Discrepancy.objects.filter(pk=row.pk, state__in=_MAY_END)
    not_ended.update(state=State.GONE, ended_at=conf.now(), ended_by=comparison)


def close(discrepancy_id: int, note: str) -> bool:
    """Close a discrepancy with staff's note.

    Returns True if this call closed it: the first note stays.
    Changes: Discrepancy. Safe to repeat: yes.
    """
    still_open = Discrepancy.objects.still_open().filter(pk=discrepancy_id)
    return bool(still_open.update(state=State.CLOSED, ended_at=conf.now(), note=note))
