"""Ask FeexPay about an attempt, and settle it by the answer. The authenticated answer is the only proof there is.

`judge` is pure and decides; `settle` writes what was decided; `reconcile` asks. Whoever reconciles at the same time
gets the same end: the ledger lets one move through.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from django_feexpay import conf, failpoints
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.reports import UNKNOWN_REASON, HistoryRow, StatusReport, Word, same_reference
from django_feexpay.models import Attempt, Incident
from django_feexpay.payments import budget, due, echoes, gate, hints, incidents, ledger
from django_feexpay.payments.durability import commits_by_itself, refuse_without_autocommit
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.lifecycle import LIVE, Status

logger = logging.getLogger("django_feexpay.payments")

#: Two empty looks in history this far apart, and an attempt whose answer was lost goes to staff.
GIVE_UP_AFTER = timedelta(minutes=10)

#: Where history is always cut, absence is never proven: staff must look all the same, or the payer waits for ever.
LONGEST_SEARCH = timedelta(days=1)

#: How long one search may take. With the last answer it ends within a lease.
PATIENCE_SECONDS = 25.0
PATIENCE_OF_PEOPLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a report means for an attempt. `to_status` None: nothing to move, look again later."""

    to_status: Status | None
    because: str


def judge(attempt: Attempt, report: StatusReport, now: datetime) -> Verdict:
    """What a report means for an attempt, decided from these two and the time alone.

    A success counts only if the report names our reference, echoes our attempt, is about the payer's msisdn, and
    is of the amount asked for (or that plus the fee). An unknown word is never a success and never a failure. A failure
    on a page that is still open is none yet: the payer may take another card.
    """
    mismatch = _mismatch(attempt, report)
    if report.word is Word.SUCCESSFUL:
        doubt = mismatch or _missing_proof(attempt, report)
        return Verdict(Status.REVIEW, doubt) if doubt else Verdict(Status.SUCCESSFUL, "confirmed")
    if report.word is Word.FAILED:
        if attempt.sought_by_echo and attempt.life_status in LIVE and now < attempt.expires_at:
            return Verdict(None, "may_be_tried_again")
        return Verdict(Status.REVIEW, mismatch) if mismatch else Verdict(Status.FAILED, "failed")
    if attempt.life_status in (Status.FAILED, Status.REJECTED) and report.word is not Word.MISSING:
        return Verdict(Status.REVIEW, "alive_after_failure")
    if now < attempt.expires_at or attempt.life_status not in LIVE:
        return Verdict(None, "waiting")
    if report.word is Word.PENDING:
        return Verdict(Status.EXPIRED, "payer_did_not_answer")
    return Verdict(Status.REVIEW, "unknown_to_gateway" if report.word is Word.MISSING else "unknown_word")


def _mismatch(attempt: Attempt, report: StatusReport) -> str:
    """The first fact of the report that contradicts ours, or ""."""
    if report.reference is not None and not same_reference(report.reference, attempt.gateway_reference or ""):
        return "reference_mismatch"
    if report.echo is not None and report.echo != str(attempt.pk):
        return "echo_mismatch"
    known = attempt.masked_msisdn  # a card has none
    if known and report.msisdn_ending is not None and not known.endswith(report.msisdn_ending):
        return "msisdn_mismatch"
    return ""


def _missing_proof(attempt: Attempt, report: StatusReport) -> str:
    """What a success lacks to be credited, or "". An absent amount is allowed, as some answers carry none; but not of
    a card, whose payer's msisdn proves nothing.
    """
    if report.reference is None:
        return "reference_missing"
    if report.echo is None:
        return "echo_missing"
    if report.amount is None and not attempt.masked_msisdn:
        return "amount_missing"
    return "" if amount_agrees(attempt, report.amount) else "amount_mismatch"


def amount_agrees(attempt: Attempt, amount: int | None) -> bool:
    """Whether FeexPay speaks of the amount we asked for, or of that with the fee. None: it does not speak of it."""
    return amount in (None, attempt.amount, attempt.payment.charged_price + attempt.payment.fee)


def reconcile(
    attempt_id: UUID,
    *,
    source: Source,
    actor: str = "",
    note: str = "",
    total_seconds: float | None = None,
) -> bool:
    """Ask FeexPay about an attempt and settle it; True if it gave its word. What was never sent is not asked about.

    Its next look is written only if nobody changed it meanwhile. `total_seconds` bounds the call.
    A gateway that cannot be reached is no news: the attempt stays as it is and is looked at again.
    Changes: the attempt, by `ledger.move`. Safe to repeat: yes.
    """
    return ask(attempt_id, source=source, actor=actor, note=note, total_seconds=total_seconds) is not None


def ask(
    attempt_id: UUID,
    *,
    source: Source,
    actor: str = "",
    note: str = "",
    total_seconds: float | None = None,
) -> StatusReport | None:
    """`reconcile`, for who wants FeexPay's word itself; None when it gave none."""
    refuse_without_autocommit()
    attempt = Attempt.objects.select_related("payment__provider").get(pk=attempt_id)
    if attempt.sent_at is None or attempt.life_status is Status.SENDING:
        return None
    budget.wait_seconds(budget.SENDING)  # somebody wants to know: it is spent, and never refused
    return _look(attempt, source=source, actor=actor, note=note, total_seconds=total_seconds)


def reconcile_claimed(held: due.Claim, *, source: Source) -> bool:
    """Reconcile an attempt whose turn it is, unless FeexPay is used to the full: then it is due again soon.

    Changes: as `reconcile`. Safe to repeat: yes.
    """
    if wait := budget.wait_seconds(budget.POLLING):
        due.postpone(held, conf.now() + min(timedelta(seconds=wait), due.LONGEST_POSTPONEMENT))
        return False
    attempt = Attempt.objects.select_related("payment__provider").get(pk=held.attempt_id)
    if attempt.sent_at is None:  # nothing to ask about, whoever hastened it
        due.postpone(held, None)
        return False
    return _look(attempt, source=source) is not None


def _look(
    attempt: Attempt, *, source: Source, actor: str = "", note: str = "", total_seconds: float | None = None
) -> StatusReport | None:
    try:
        report = _ask(attempt, source, total_seconds)
    except GatewayError as error:
        logger.warning("no news of attempt %s: %s", attempt.pk, error.code)
        due.schedule(attempt)
        return None
    if report is None:
        return None
    failpoints.hit("asked")
    settle(attempt, report, source=source, actor=actor, note=note)
    return report


def reconcile_if_due(attempt: Attempt, *, source: Source, total_seconds: float) -> bool:
    """Reconcile when the attempt is due, its reference is known and nobody else is at it. For doors that read a status.

    Looking for a lost reference takes longer than a reader waits: that is left to the worker.
    """
    now = conf.now()
    findable = attempt.gateway_reference is not None or attempt.sought_by_echo
    if not findable or attempt.next_poll_at is None or attempt.next_poll_at > now or not commits_by_itself():
        return False
    with budget.place() as free:
        if not free or gate.is_shut() or budget.wait_seconds(budget.READING):
            return False  # the last known is told
        taken = due.claim(attempt, now) is not None
        return taken and reconcile(attempt.pk, source=source, total_seconds=total_seconds)


def _ask(attempt: Attempt, source: Source, total_seconds: float | None) -> StatusReport | None:
    """FeexPay's word on an attempt; None while its reference is not to be found."""
    if attempt.sought_by_echo:
        return _ask_by_echo(attempt, source, total_seconds)
    if attempt.gateway_reference is None and not _find(attempt, source, total_seconds):
        return None
    return conf.gateway().fetch_status(str(attempt.gateway_reference), total_seconds=total_seconds)


def settle(
    attempt: Attempt,
    report: StatusReport,
    *,
    source: Source,
    actor: str = "",
    note: str = "",
) -> bool:
    """Bring an attempt to where a report puts it; True if it moved.

    Changes: the attempt, by `ledger.move`; without a move, when to look next. Safe to repeat: yes.
    """
    verdict = judge(attempt, report, conf.now())
    if verdict.because == "unknown_word" or report.word is Word.UNKNOWN:
        logger.error("FeexPay says %r about attempt %s: a word we do not know", report.raw_word, attempt.pk)
    if attempt.life_status is Status.SUCCESSFUL and verdict.to_status is not Status.SUCCESSFUL:
        _note_contradiction(attempt, report)
        return False
    cause = Cause(
        source=source,
        because=verdict.because,
        actor=actor,
        note=note,
        evidence=_evidence(attempt, report),
    )
    moved = verdict.to_status is not None and ledger.move(
        attempt.pk,
        verdict.to_status,
        cause,
        changes=_changes(attempt, verdict.to_status, report),
        still=_still(attempt, verdict.to_status),
    )
    if not moved:
        due.schedule(attempt)
    failpoints.hit("settled")
    return moved


def _still(attempt: Attempt, to_status: Status) -> dict[str, Any]:
    """A failure says nothing of a code that was sent while FeexPay was asked: that may be charged. A success counts."""
    return {} if to_status is Status.SUCCESSFUL else {"otp_count": attempt.otp_count}


def _changes(attempt: Attempt, to_status: Status, report: StatusReport) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "payer_sealed": None,
        "next_poll_at": due.unless_changed(attempt, due.next_look(attempt, to_status, looks=attempt.look_count + 1)),
        "look_count": attempt.look_count + 1,
    }
    if to_status is Status.FAILED:
        changes |= {"reason_code": report.reason_code or UNKNOWN_REASON, "reason_text": report.reason_text[:200]}
    if to_status is Status.EXPIRED:
        changes |= {"reason_code": "expired"}
    if to_status is Status.SUCCESSFUL:
        changes |= {"reason_code": "", "reason_text": "", "next_poll_at": None}
    return changes


def _evidence(attempt: Attempt, report: StatusReport) -> dict[str, Any]:
    """What the decision rested on; the invariants re-check a credit by it."""
    return {
        "word": report.word,
        "reference": report.reference,
        "echo_matches": report.echo == str(attempt.pk),
        "amount": report.amount,
        "asked_for": attempt.amount,
        "fee": attempt.payment.fee,
    }


def _note_contradiction(attempt: Attempt, report: StatusReport) -> None:
    if report.word is Word.FAILED:
        logger.error("FeexPay takes back the success of attempt %s", attempt.pk)
        incidents.open_once(Incident.Kind.CONTRADICTION, attempt, conf.now())


# --- an attempt whose answer was lost ----------------------------------------------------------------


def _find(attempt: Attempt, source: Source, total_seconds: float | None) -> bool:
    """Look for an attempt in FeexPay's history by its echo; True once its reference is known.

    Absence proves something only if nothing of the history is missing, and only twice, well apart: then staff must
    look.
    """
    now = conf.now()
    found = echoes.search(attempt, patience_seconds=_patience(source, total_seconds))
    if found.row is not None:
        return adopt(attempt, str(found.row.report.reference), source)
    first_empty = attempt.first_empty_look_at or (now if found.complete else None)
    if first_empty is not None and first_empty > now + conf.CLOCK_SLACK:  # by a clock that was ahead: it counts anew
        first_empty = now
    if _is_hopeless(attempt, found.complete, first_empty, now):
        _to_review(attempt, source, "not_found_in_history")
    else:
        due.schedule(attempt, first_empty_look_at=first_empty)
    return False


def _patience(source: Source, total_seconds: float | None) -> float:
    """A person who waits for a page is not kept as long as a worker."""
    usual = PATIENCE_SECONDS if source in (Source.WORKER, Source.COMMAND) else PATIENCE_OF_PEOPLE_SECONDS
    return usual if total_seconds is None else min(usual, total_seconds)


def _is_hopeless(attempt: Attempt, complete: bool, first_empty: datetime | None, now: datetime) -> bool:
    """Only an attempt that nobody has looked at yet goes to staff; in REVIEW it is still looked for, more slowly."""
    if attempt.life_status is not Status.UNKNOWN:
        return False
    if not complete:
        return now - attempt.created_at >= LONGEST_SEARCH
    return first_empty is not None and now - first_empty >= GIVE_UP_AFTER


def adopt(attempt: Attempt, reference: str, source: Source) -> bool:
    """Write down the reference we found; True if the attempt has one now. UNKNOWN becomes PENDING; elsewhere only the
    column changes. A reference that another attempt holds sends this one to staff.

    Changes: the attempt, its deliveries. Safe to repeat: yes.
    """
    try:
        if attempt.life_status is Status.UNKNOWN:
            cause = Cause(source=source, because="found_in_history")
            ledger.move(attempt.pk, Status.PENDING, cause, changes={"gateway_reference": reference})
        else:
            _keep_reference(attempt, reference)
    except IntegrityError as error:
        if not ledger.is_reference_conflict(error):
            raise
        _to_review(attempt, source, "reference_conflict")
        return False
    attempt.refresh_from_db()
    hints.match(attempt.pk, reference)
    return attempt.gateway_reference is not None


def _keep_reference(attempt: Attempt, reference: str) -> None:
    """The first one stays, but where the payment that counts may be another: there the newest, until it is credited."""
    rows = Attempt.objects.filter(pk=attempt.pk)
    if attempt.sought_by_echo:
        rows = rows.filter(sought_by_echo=True).exclude(status=Status.SUCCESSFUL)
    else:
        rows = rows.filter(gateway_reference=None)
    rows.update(gateway_reference=reference)


# --- an attempt that any payment with our id may stand for ---------------------------------------------


def _ask_by_echo(attempt: Attempt, source: Source, total_seconds: float | None) -> StatusReport | None:
    """FeexPay's word on the payment that bears our id in its history; None while there is none.

    Two authenticated answers make the proof: history says that the payment is our attempt's, its status what became
    of it. Asked anew each time, as another payment may be made on the same page.
    """
    half = None if total_seconds is None else total_seconds / 2
    found = echoes.search(attempt, patience_seconds=_patience(source, half), longest_question_seconds=half)
    if found.row is not None:
        report = _report_of(attempt, found.row, source, half)
    elif attempt.gateway_reference is not None:  # given with the request for a code
        report = conf.gateway().fetch_status(attempt.gateway_reference, total_seconds=half)
    else:
        _note_absence(attempt, source, found.complete)
        return None
    if report is not None and report.word is Word.FAILED and not found.complete:
        _note_absence(attempt, source, found.complete)  # one that was paid may be among what we were not shown
        return None
    return report


def seek_by_echo(attempt: Attempt) -> None:
    """From now on whichever payment bears our id stands for the attempt, unless it is credited already.

    Changes: the attempt's `sought_by_echo`. Safe to repeat: yes.
    """
    Attempt.objects.filter(pk=attempt.pk).exclude(status=Status.SUCCESSFUL).update(sought_by_echo=True)


def _report_of(attempt: Attempt, row: HistoryRow, source: Source, total_seconds: float | None) -> StatusReport | None:
    """The status of the payment of that row, with what only the row may know: our id, the amount."""
    reference = str(row.report.reference)
    if attempt.gateway_reference != reference and not adopt(attempt, reference, source):
        return None
    report = conf.gateway().fetch_status(str(attempt.gateway_reference), total_seconds=total_seconds)
    return replace(
        report,
        echo=str(attempt.pk) if report.echo is None else report.echo,
        amount=row.report.amount if report.amount is None else report.amount,
    )


def _note_absence(attempt: Attempt, source: Source, complete: bool) -> None:
    """Nobody paid so far, as far as we were shown. Closed, and nothing of the history missing: we stop expecting the
    payer.
    """
    now = conf.now()
    if complete and now >= attempt.expires_at and attempt.life_status is Status.PENDING:
        changes = _changes(attempt, Status.EXPIRED, StatusReport(word=Word.MISSING))
        ledger.move(attempt.pk, Status.EXPIRED, Cause(source=source, because="page_not_used"), changes=changes)
    elif not complete and now - attempt.created_at >= LONGEST_SEARCH and attempt.life_status is Status.PENDING:
        _to_review(attempt, source, "not_found_in_history")
    else:
        due.schedule(attempt)


def _to_review(attempt: Attempt, source: Source, because: str) -> None:
    """One that is in REVIEW already is only looked at again, later."""
    next_poll_at = due.next_look(attempt, Status.REVIEW, looks=attempt.look_count + 1)
    changes = {"next_poll_at": next_poll_at, "payer_sealed": None}
    if not ledger.move(attempt.pk, Status.REVIEW, Cause(source=source, because=because), changes=changes):
        due.schedule(attempt)
