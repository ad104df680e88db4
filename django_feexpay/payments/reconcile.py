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
from django.db.models import Q
from django.db.models.functions import Coalesce

from django_feexpay import conf, failpoints
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.reports import UNKNOWN_REASON, HistoryRow, StatusReport, Word, same_reference
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt, Credit, Incident
from django_feexpay.payments import history_search, incidents, leases, ledger, second_charges, webhook_hints
from django_feexpay.payments.absences import NOT_IN_HISTORY, note_absence, poll_later, seek_refused, to_review
from django_feexpay.payments.admission import gate, rate_budget
from django_feexpay.payments.durability import commits_by_itself, refuse_without_autocommit
from django_feexpay.payments.ledger import Cause, Source

logger = logging.getLogger("django_feexpay.payments")

#: How long one search may take. With the last answer it ends within a lease.
TIMEOUT_SECONDS = 25.0
INTERACTIVE_TIMEOUT_SECONDS = 5.0


#: So long after its expiry an attempt stays PENDING or UNKNOWN while FeexPay cannot be asked; an answer would have
#: ended it. With the usual expiry a person sees it within a day of the request.
LONGEST_SILENCE = timedelta(hours=23)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a report means for an attempt. `to_status` None: nothing to move, look again later."""

    to_status: Status | None
    because: str


def judge(attempt: Attempt, report: StatusReport, now: datetime) -> Verdict:
    """What a report means for an attempt, decided from these two and the time alone.

    A success counts only if the report names our reference, echoes our attempt, is about the payer's msisdn, and
    is of the amount (or that plus the fee) and currency asked for. An unknown word is never a success and never a
    failure. A failure on a page that is still open is none yet: the payer may take another card.
    """
    mismatch = _mismatch(attempt, report)
    if report.word is Word.SUCCESSFUL:
        doubt = mismatch or _missing_proof(attempt, report)
        return Verdict(Status.REVIEW, doubt) if doubt else Verdict(Status.SUCCESSFUL, "confirmed")
    if report.word is Word.FAILED:
        if attempt.life_status is Status.FAILED:  # no news, whomever it is about; a person may have closed it so
            return Verdict(None, "waiting")
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
    if report.currency not in (None, attempt.payment.charged_currency):
        return "currency_mismatch"
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
    """Ask FeexPay about an attempt and settle it; True if it gave its word, or its whole history lacks the attempt.

    What is on its way just now is not asked about.
    Its next look is written only if nobody changed it meanwhile. `total_seconds` bounds the call.
    A gateway that cannot be reached is no news: the attempt stays as it is and is looked at again.
    About a credited attempt FeexPay is asked, unless the call is bounded, whether it was charged a second time, too.
    Changes: the attempt, by `ledger.move`; Incident. Safe to repeat: yes.
    """
    attempt = _to_ask_about(attempt_id)
    if attempt is None:
        return False
    credited = attempt.life_status is Status.SUCCESSFUL
    report = _look(attempt, source=source, actor=actor, note=note, total_seconds=total_seconds)
    if credited and report is not None and total_seconds is None:
        _look_for_second_charges(attempt, source)
    return report is not None


def ask(
    attempt_id: UUID,
    *,
    source: Source,
    actor: str = "",
    note: str = "",
    total_seconds: float | None = None,
) -> StatusReport | None:
    """FeexPay's word on an attempt, which is settled by it: None for none, Word.MISSING when it has no such payment.

    Changes: the attempt, by `ledger.move`; Incident. Safe to repeat: yes.
    """
    attempt = _to_ask_about(attempt_id)
    if attempt is None:
        return None
    return _look(attempt, source=source, actor=actor, note=note, total_seconds=total_seconds)


def _to_ask_about(attempt_id: UUID) -> Attempt | None:
    """The attempt, unless it is on its way just now. The question is spent of the budget, and never refused."""
    refuse_without_autocommit()
    attempt = Attempt.objects.select_related("payment__provider").get(pk=attempt_id)
    if attempt.life_status is Status.SENDING:
        return None
    rate_budget.wait_seconds(rate_budget.SENDING)
    return attempt


def reconcile_claimed(held: leases.Claim, *, source: Source) -> bool:
    """Reconcile an attempt whose turn it is, unless FeexPay is used to the full: then it is due again soon.

    Changes: as `reconcile`. Safe to repeat: yes.
    """
    credited = held.status is Status.SUCCESSFUL
    if wait := (credited and rate_budget.wait_after_credit_seconds()) or rate_budget.wait_seconds(rate_budget.POLLING):
        leases.release(held, conf.now() + min(timedelta(seconds=wait), leases.MAX_RELEASE_DELAY))
        return False
    attempt = Attempt.objects.select_related("payment__provider").get(pk=held.attempt_id)
    answered = _look(attempt, source=source) is not None
    if credited and _look_for_second_charges(attempt, source) and answered:
        leases.schedule(attempt)
    return answered


def _look_for_second_charges(attempt: Attempt, source: Source) -> bool:
    """Look for other charges of an attempt that is credited; not answered, FeexPay is asked again."""
    answered = second_charges.look_for(attempt, timeout_seconds=_timeout(source, None))
    if not answered:
        leases.ask_credited_again(attempt)
    return answered


def find_unsent(attempt_id: UUID, *, source: Source) -> bool | None:
    """Look in FeexPay's history for an attempt that waits to be sent; True if it is there, None if nobody can tell.

    Found, it stands in PENDING and is not sent. Changes: the attempt, by `ledger.move`. Safe to repeat: yes.
    """
    attempt = Attempt.objects.select_related("payment__provider").get(pk=attempt_id)
    try:
        found = history_search.search(attempt, timeout_seconds=_timeout(source, None))
    except GatewayError as error:
        logger.warning("no news of attempt %s: %s", attempt.pk, error.code)
        return None
    if found.row is not None:
        return record_reference(attempt, str(found.row.report.reference), source) or None
    return False if found.complete else None


def _look(
    attempt: Attempt, *, source: Source, actor: str = "", note: str = "", total_seconds: float | None = None
) -> StatusReport | None:
    credited = attempt.life_status is Status.SUCCESSFUL
    lost = attempt.gateway_reference is None and not attempt.sought_by_echo
    try:
        report = _ask(attempt, source, total_seconds)
    except GatewayError as error:
        logger.warning("no news of attempt %s: %s", attempt.pk, error.code)
        _note_silence(attempt, source)
        return None
    if report is None or report is NOT_IN_HISTORY:
        return report
    failpoints.hit("asked")
    moved = settle(attempt, report, source=source, actor=actor, note=note)
    closed_page = attempt.sought_by_echo and not credited and conf.now() >= attempt.expires_at
    named = moved and report.word is Word.SUCCESSFUL and second_charges.named_by_webhooks(attempt)
    # Its answer was lost or its page is closed, so nothing tells that FeexPay made one charge of it and no later look
    # is planned; or a webhook named another one.
    if lost or closed_page or named:
        leases.make_credited_due_now(attempt)
    return report


def _note_silence(attempt: Attempt, source: Source) -> None:
    """FeexPay could not be asked: ask again later. What was silent for a day goes to staff, too."""
    if attempt.life_status is Status.SUCCESSFUL:
        leases.ask_credited_again(attempt)
    elif attempt.life_status in (Status.PENDING, Status.UNKNOWN) and conf.now() - attempt.expires_at >= LONGEST_SILENCE:
        to_review(attempt, source, "gateway_silent")
    elif attempt.is_doubtful_refusal:
        seek_refused(attempt, source)
    else:
        poll_later(attempt)


def reconcile_if_due(attempt: Attempt, *, source: Source, total_seconds: float) -> bool:
    """Reconcile when the attempt is due, its reference is known and nobody else is at it. For doors that read a status.

    Looking for a lost reference, or for what became of a credit, takes longer than a reader waits: that is left to the
    worker.
    """
    now = conf.now()
    findable = attempt.gateway_reference is not None or attempt.sought_by_echo
    if attempt.life_status is Status.SUCCESSFUL or not findable or not commits_by_itself():
        return False
    if attempt.next_poll_at is None or attempt.next_poll_at > now:
        return False
    with rate_budget.place() as free:
        if not free or gate.is_shut() or rate_budget.wait_seconds(rate_budget.READING):
            return False  # the last known is told
        taken = leases.claim(attempt, now) is not None
        return taken and reconcile(attempt.pk, source=source, total_seconds=total_seconds)


def _ask(attempt: Attempt, source: Source, total_seconds: float | None) -> StatusReport | None:
    """FeexPay's word on an attempt; None while its payment may be where we could not look."""
    if attempt.sought_by_echo and attempt.life_status is not Status.SUCCESSFUL:
        return _ask_by_echo(attempt, source, total_seconds)
    if attempt.gateway_reference is None:
        patience = _timeout(source, total_seconds)
        found = history_search.search(attempt, timeout_seconds=patience, longest_question_seconds=total_seconds)
        if found.row is None:
            return note_absence(attempt, source, found)
        if not record_reference(attempt, str(found.row.report.reference), source):
            return None
        if attempt.sought_by_echo:
            return _report_of(attempt, found.row, source, total_seconds)
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

    Changes: the attempt, by `ledger.move`; without a move, when to look next. A credited attempt stays as it is; that
    its money was taken back becomes an Incident. Safe to repeat: yes.
    """
    if attempt.life_status is Status.SUCCESSFUL:
        _note_reversal(attempt, report)
        return False
    verdict = judge(attempt, report, conf.now())
    if verdict.because == "unknown_word" or report.word is Word.UNKNOWN:
        logger.error("FeexPay says %r about attempt %s: a word we do not know", report.raw_word, attempt.pk)
    cause = Cause(
        source=source,
        because=verdict.because,
        actor=actor,
        note=note,
        evidence=evidence_of(attempt, report),
    )
    moved = verdict.to_status is not None and ledger.move(
        attempt.pk,
        verdict.to_status,
        cause,
        changes=_changes(attempt, verdict.to_status, report),
        still=_still(attempt, verdict.to_status),
    )
    if not moved:
        poll_later(attempt)
    failpoints.hit("settled")
    return moved


def _still(attempt: Attempt, to_status: Status) -> dict[str, Any]:
    """A failure says nothing of a code that was sent while FeexPay was asked: that may be charged. A success counts."""
    return {} if to_status is Status.SUCCESSFUL else {"otp_count": attempt.otp_count}


def _changes(attempt: Attempt, to_status: Status, report: StatusReport) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "payer_sealed": None,
        "next_poll_at": leases.unless_changed(
            attempt, leases.next_poll(attempt, to_status, polls=attempt.poll_count + 1)
        ),
        "poll_count": attempt.poll_count + 1,
    }
    if to_status is Status.FAILED:
        changes |= {"reason_code": report.reason_code or UNKNOWN_REASON, "reason_text": report.reason_text[:200]}
    if to_status is Status.EXPIRED:
        changes |= {"reason_code": "expired"}
    if to_status is Status.SUCCESSFUL:
        changes |= {"reason_code": "", "reason_text": "", "next_poll_at": leases.next_poll(attempt, to_status)}
    return changes


def evidence_of(attempt: Attempt, report: StatusReport) -> dict[str, Any]:
    """What the decision rested on; the invariants re-check a credit by it."""
    return {
        "word": report.word,
        "reference": report.reference,
        "echo_matches": report.echo == str(attempt.pk),
        "amount": report.amount,
        "currency": report.currency,
        "asked_for": attempt.amount,
        "fee": attempt.payment.fee,
    }


def _note_reversal(attempt: Attempt, report: StatusReport) -> None:
    """FeexPay, asked about a credited attempt, says that its money was taken back: for staff and the host to decide.

    A second charge that was given back is none: its attempt has no credit.
    """
    if not report.takes_back or _mismatch(attempt, report):
        return
    credit = Credit.objects.filter(attempt=attempt).first()
    if credit is None:
        return
    reference = attempt.gateway_reference or ""
    charge = incidents.Charge(reference, credit.amount, credit.currency, credited_reference=reference)
    if incidents.open_once(Incident.Kind.REVERSED_AFTER_CREDIT, attempt, charge, conf.now()):
        logger.error("FeexPay takes back the success of attempt %s: %r", attempt.pk, report.raw_word)


# --- an attempt whose answer was lost ----------------------------------------------------------------


def _timeout(source: Source, total_seconds: float | None) -> float:
    """A person who waits for a page is not kept as long as a worker."""
    usual = TIMEOUT_SECONDS if source in (Source.WORKER, Source.COMMAND) else INTERACTIVE_TIMEOUT_SECONDS
    return usual if total_seconds is None else min(usual, total_seconds)


def record_reference(attempt: Attempt, reference: str, source: Source) -> bool:
    """Write down the reference we found; True if the attempt has one now. UNKNOWN becomes PENDING, and so does one that
    still waits to be sent: it is not sent any more. Elsewhere only the column changes. A reference that another attempt
    holds sends this one to staff.

    Changes: the attempt, its deliveries. Safe to repeat: yes.
    """
    cause = Cause(source=source, because="found_in_history")
    try:
        if attempt.life_status is Status.CREATED and not _mark_as_sent(attempt, cause):
            return False  # its sender took it just now
        if attempt.life_status in (Status.CREATED, Status.UNKNOWN):
            ledger.move(attempt.pk, Status.PENDING, cause, changes={"gateway_reference": reference})
        else:
            _keep_reference(attempt, reference)
    except IntegrityError as error:
        if not ledger.is_reference_conflict(error):
            raise
        if attempt.life_status is Status.FAILED:  # a person closed it, knowing that
            leases.schedule(attempt)
        else:
            to_review(attempt, source, "reference_conflict")
        return False
    attempt.refresh_from_db()
    webhook_hints.match(attempt.pk, reference)
    return attempt.gateway_reference is not None


def _mark_as_sent(attempt: Attempt, cause: Cause) -> bool:
    """CREATED to UNKNOWN, by the legal way and without a call: FeexPay has it. False if a sender was quicker.

    One that dies between the two moves leaves what `initiate.mark_sender_dead` puts right.
    """
    now = conf.now()
    sending = {"sent_at": attempt.created_at, "next_poll_at": now + leases.LEASE}
    if not ledger.move(attempt.pk, Status.SENDING, cause, changes=sending):
        return False
    is_page = attempt.payment.provider.spec.flow == "hosted"
    unknown = {"payer_sealed": None, "next_poll_at": now, "sought_by_echo": is_page}
    return ledger.move(attempt.pk, Status.UNKNOWN, cause, changes=unknown)


def _keep_reference(attempt: Attempt, reference: str) -> None:
    """The first one stays, but where the payment that counts may be another: there the newest, until it is credited.

    What was said never to have left did leave. What a person credited without a reference takes the first.
    """
    rows = Attempt.objects.filter(pk=attempt.pk)
    takes_it = Q(gateway_reference=None)
    if attempt.sought_by_echo:
        takes_it |= Q(sought_by_echo=True) & ~Q(status=Status.SUCCESSFUL)
    rows.filter(takes_it).update(gateway_reference=reference, sent_at=Coalesce("sent_at", "created_at"))


# --- an attempt that any payment with our id may stand for ---------------------------------------------


def _ask_by_echo(attempt: Attempt, source: Source, total_seconds: float | None) -> StatusReport | None:
    """FeexPay's word on the payment that bears our id in its history; None while there may be one we were not shown.

    Two authenticated answers make the proof: history says that the payment is our attempt's, its status what became
    of it. Asked anew each time, as another payment may be made on the same page.
    """
    half = None if total_seconds is None else total_seconds / 2
    found = history_search.search(attempt, timeout_seconds=_timeout(source, half), longest_question_seconds=half)
    if found.row is not None:
        report = _report_of(attempt, found.row, source, half)
    elif attempt.gateway_reference is not None:  # given with the request for a code
        report = conf.gateway().fetch_status(attempt.gateway_reference, total_seconds=half)
    else:
        return note_absence(attempt, source, found)
    if report is not None and report.word is Word.FAILED and not found.complete:
        return note_absence(attempt, source, found)  # one that was paid may be among what we were not shown
    return report


def seek_by_echo(attempt: Attempt) -> None:
    """From now on whichever payment bears our id stands for the attempt, unless it is credited already.

    Changes: the attempt's `sought_by_echo`. Safe to repeat: yes.
    """
    Attempt.objects.filter(pk=attempt.pk).exclude(status=Status.SUCCESSFUL).update(sought_by_echo=True)


def _report_of(attempt: Attempt, row: HistoryRow, source: Source, total_seconds: float | None) -> StatusReport | None:
    """The status of the payment of that row, with what only the row may know: our id, the amount."""
    reference = str(row.report.reference)
    if attempt.gateway_reference != reference and not record_reference(attempt, reference, source):
        return None
    report = conf.gateway().fetch_status(str(attempt.gateway_reference), total_seconds=total_seconds)
    return replace(
        report,
        echo=str(attempt.pk) if report.echo is None else report.echo,
        amount=row.report.amount if report.amount is None else report.amount,
        currency=row.report.currency if report.currency is None else report.currency,
    )
