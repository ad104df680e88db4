"""Differences between an attempt and FeexPay's history: what is one, what asking does about it, and its row.

History only tells that it is time to ask: nothing is credited, failed or given up on its word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from django_feexpay import conf
from django_feexpay.gateway.reports import HistoryRow, StatusReport, Word, same_reference
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt, Comparison, Discrepancy, Finding, Incident, ReviewDecision
from django_feexpay.payments import leases, reconcile, second_charges
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.second_charges import Checked

Kind = Discrepancy.Kind
State = Discrepancy.State
Outcome = Discrepancy.Outcome

_OUR_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

#: What FeexPay's final words mean in ours.
_AGREE = {Word.SUCCESSFUL: {Status.SUCCESSFUL}, Word.FAILED: {Status.FAILED, Status.REJECTED}}

_OUTCOME_OF = {
    Checked.SECOND_CHARGE: Outcome.INCIDENT,
    Checked.NOT_CONFIRMED: Outcome.NO_CHANGE,
    Checked.NO_ANSWER: Outcome.NO_ANSWER,
}

#: What fits a payment that is not settled yet. CREATED does not: it is said never to have left.
_UNSETTLED = (LIVE - {Status.CREATED}) | {Status.EXPIRED, Status.REVIEW}


@dataclass(frozen=True, slots=True)
class Difference:
    """A kind, with the attempt and FeexPay's row it is about; `row` None: there is none, `attempt` None: likewise."""

    kind: Kind
    attempt: Attempt | None
    row: HistoryRow | None

    @property
    def identity(self) -> str:
        """The same difference found again has the same."""
        if self.attempt is not None and self.kind is not Kind.SECOND_ROW:
            return f"{self.kind}:{self.attempt.pk}"
        known = self.report.reference or (our_id(self.row) if self.row else None)
        return f"{self.kind}:{known}"

    @property
    def report(self) -> StatusReport:
        return StatusReport(word=Word.MISSING) if self.row is None else self.row.report

    @property
    def money_at_stake(self) -> bool:
        """One side says that the money was taken, and the other does not say the same."""
        if self.kind is Kind.SECOND_ROW:
            return self.report.word is Word.SUCCESSFUL
        return self.report.word is Word.SUCCESSFUL or (
            self.attempt is not None and self.attempt.life_status is Status.SUCCESSFUL
        )


def our_id(row: HistoryRow) -> str | None:
    """What came back with a row and looks like an attempt's id, of a collect or of a page; None where another system
    of the shop asked.
    """
    names = (row.report.echo, row.custom_id)
    return next((name for name in names if name is not None and _OUR_ID.fullmatch(name)), None)


def between(attempt: Attempt, row: HistoryRow) -> Iterator[Kind]:
    """The kinds of difference between an attempt and the row that bears its id or its reference.

    What is on its way just now is not judged.
    """
    report = row.report
    if attempt.life_status is Status.SENDING:
        return
    if attempt.gateway_reference is None:
        if report.reference:
            yield Kind.REFERENCE
    elif report.reference and not same_reference(report.reference, attempt.gateway_reference):
        yield from _of_another_charge(attempt, report)
        return
    if not reconcile.amount_agrees(attempt, report.amount) and not _was_decided(attempt, report):
        yield Kind.AMOUNT
    if not agrees(attempt.life_status, report.word):
        yield Kind.STATUS


def _was_decided(attempt: Attempt, report: StatusReport) -> bool:
    """Whether a person closed the attempt's review knowing this very amount."""
    closings = attempt.events.filter(from_status=Status.REVIEW, because__in=ReviewDecision.values)
    return closings.filter(evidence__amount=report.amount).exists()


def _takes_several(attempt: Attempt) -> bool:
    """On a page the payer may try several cards, and a code is sent in a second step: each may have a row."""
    return attempt.sought_by_echo or attempt.payment.provider.spec.flow == "otp"


def _of_another_charge(attempt: Attempt, report: StatusReport) -> Iterator[Kind]:
    """One that was paid is a second charge of a credited attempt; of any other it may be the one to credit."""
    if report.word is Word.SUCCESSFUL:
        yield Kind.SECOND_ROW if attempt.life_status is Status.SUCCESSFUL else Kind.STATUS
    elif not _takes_several(attempt):
        yield Kind.SECOND_ROW


def agrees(status: Status, word: Word) -> bool:
    """Whether FeexPay's word fits where an attempt stands."""
    return status in _AGREE.get(word, _UNSETTLED)


# --- what asking does ---------------------------------------------------------------------------------


def repair(difference: Difference, source: Source, note: str) -> Outcome:
    """Ask FeexPay about the attempt and let the answer settle it; what came of it.

    Changes: the attempt, by `ledger.move`; its reference if it had none. Safe to repeat: yes.
    """
    attempt, kind = difference.attempt, difference.kind
    if attempt is None:
        return Outcome.NOT_ASKED
    if kind is Kind.SECOND_ROW:
        return _check_second_charge(attempt, difference)
    lost = attempt.gateway_reference is None
    if kind is Kind.REFERENCE and not attempt.sought_by_echo:
        reconcile.record_reference(attempt, str(difference.report.reference), source)
    if kind is Kind.STATUS and _is_of_another_payment(attempt, difference.report):
        reconcile.seek_by_echo(attempt)
    before = attempt.life_status
    report = reconcile.ask(attempt.pk, source=source, note=note)
    attempt.refresh_from_db()
    if lost:  # credited just now, it may have another row, which was judged before
        leases.make_credited_due_now(attempt)
    if report is None:
        leases.make_due_now(attempt)
    if report is not None and report.takes_back and _was_reversed(attempt):
        return Outcome.INCIDENT
    if kind is Kind.REFERENCE:
        return Outcome.NO_CHANGE if attempt.gateway_reference is None else Outcome.ADOPTED
    if report is None:
        return Outcome.NO_ANSWER
    if not _is_settled(difference, report):
        return Outcome.NO_CHANGE
    return Outcome.CONFIRMED if attempt.life_status is before else Outcome.MOVED


def _check_second_charge(attempt: Attempt, difference: Difference) -> Outcome:
    """A row that was paid, beside the one that was credited, is asked about by its own reference."""
    if difference.row is None or difference.report.word is not Word.SUCCESSFUL:
        return Outcome.NOT_ASKED
    answer = second_charges.check(attempt.pk, str(difference.report.reference), difference.row)
    if answer is Checked.NO_ANSWER:
        leases.make_credited_due_now(attempt)
    return _OUTCOME_OF[answer]


def _was_reversed(attempt: Attempt) -> bool:
    return attempt.incidents.filter(kind=Incident.Kind.REVERSED_AFTER_CREDIT).exists()


def _is_of_another_payment(attempt: Attempt, report: StatusReport) -> bool:
    """Whether the row is not the payment that we hold for the attempt's: a code was refused, and charged after all."""
    known = attempt.gateway_reference
    return bool(report.reference and known) and not same_reference(str(report.reference), str(known))


def _is_settled(difference: Difference, answer: StatusReport) -> bool:
    """Whether the answer explains the difference. Two final words of FeexPay's that contradict each other do not,
    and neither does an amount: that is for staff.
    """
    assert difference.attempt is not None  # noqa: S101 -- the caller looked
    now = difference.attempt.life_status
    if difference.kind is Kind.MISSING_THERE:
        return answer.word is not Word.MISSING and agrees(now, answer.word)
    if difference.kind is Kind.AMOUNT:
        return False
    said = difference.report.word
    return agrees(now, said) if said in _AGREE else agrees(now, answer.word)


# --- the rows -----------------------------------------------------------------------------------------


def record(comparison: Comparison, difference: Difference) -> Discrepancy:
    """Write a difference down, or bring its row up to date. It is open, unless staff closed it and nothing is new.

    Changes: Discrepancy. Safe to repeat: yes.
    """
    columns = _columns(difference)
    row, is_new = Discrepancy.objects.get_or_create(
        identity=difference.identity,
        defaults={
            "kind": difference.kind,
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


def tell(row: Discrepancy, outcome: Outcome) -> None:
    """Write down what asking did about an open difference; where it put things right, that is its end.

    Changes: Discrepancy. Safe to repeat: yes.
    """
    row.outcome = outcome
    if outcome in (Outcome.MOVED, Outcome.CONFIRMED, Outcome.ADOPTED):
        row.state, row.ended_at = State.SETTLED, conf.now()
    row.save(update_fields=["outcome", "state", "ended_at"])


def keep_finding(comparison: Comparison, row: Discrepancy) -> None:
    """Write down how a comparison leaves a difference, for good: it may end later.

    Changes: Finding. Safe to repeat: yes, the last one stands.
    """
    left = {"is_open": row.state == State.OPEN, "money_at_stake": row.money_at_stake}
    Finding.objects.update_or_create(comparison=comparison, difference=row, defaults=left)


def _columns(difference: Difference) -> dict[str, Any]:
    attempt, row, report = difference.attempt, difference.row, difference.report
    columns: dict[str, Any] = {
        "gateway_reference": report.reference or (attempt.gateway_reference if attempt else None) or "",
        "echo": report.echo or "",
        "their_word": "" if row is None else report.word,
        "their_amount": report.amount,
        "their_date": "" if row is None else row.created_at,
        "money_at_stake": difference.money_at_stake,
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


def open_about(start: datetime, end: datetime) -> list[Discrepancy]:
    """The open differences about attempts that were sent from `start` on and before `end`, or never; but those that
    FeexPay has a row too many, which its absence from one reading does not end.
    """
    sent = Q(attempt__sent_at__gte=start, attempt__sent_at__lt=end)
    unsent = Q(attempt__isnull=False, attempt__sent_at=None)
    rows = Discrepancy.objects.still_open().filter(sent | unsent).exclude(kind=Kind.SECOND_ROW)
    return list(rows.select_related("attempt__payment__provider").order_by("pk"))


def end(row: Discrepancy, comparison: Comparison) -> None:
    """End an open difference that a comparison, which judged its attempt, did not find again.

    Changes: Discrepancy. Safe to repeat: yes.
    """
    still_open = Discrepancy.objects.still_open().filter(pk=row.pk)
    still_open.update(state=State.GONE, ended_at=conf.now(), ended_by=comparison)


def close(break_id: int, note: str) -> bool:
    """Close a difference with what was done about it; True if this call did: the first note stands.

    Changes: Discrepancy. Safe to repeat: yes.
    """
    still_open = Discrepancy.objects.still_open().filter(pk=break_id)
    return bool(still_open.update(state=State.CLOSED, ended_at=conf.now(), note=note))


def matching(rows: Collection[HistoryRow]) -> dict[HistoryRow, Attempt]:
    """Our attempts that these rows are about: by the id that was sent along, else by the reference.

    Two statements, however many rows.
    """
    ids = {row: known for row in rows if (known := our_id(row)) is not None}
    by_id = {str(attempt.pk): attempt for attempt in _attempts(Q(pk__in=set(ids.values())))}
    nameless = [row for row in rows if ids.get(row) not in by_id]
    spellings = {way for row in nameless if row.report.reference for way in _spellings(row.report.reference)}
    by_reference = {
        str(attempt.gateway_reference).casefold(): attempt for attempt in _attempts(Q(gateway_reference__in=spellings))
    }
    found = {row: by_id[known] for row, known in ids.items() if known in by_id}
    for row in nameless:
        attempt = by_reference.get((row.report.reference or "").casefold())
        if attempt is not None:
            found[row] = attempt
    return found


def _attempts(which: Q) -> list[Attempt]:
    return list(Attempt.objects.filter(which).select_related("payment__provider"))


def _spellings(reference: str) -> set[str]:
    """Some providers answer with an upper-case UUID for what was a lower-case one."""
    return {reference, reference.lower(), reference.upper()}
