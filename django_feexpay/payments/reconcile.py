"""Ask FeexPay about an attempt and settle it by the answer.

FeexPay's authenticated answer is the only proof of a payment. Each entry point follows the same three steps: fetch the
report, evaluate it (`report_evaluation`, pure), settle the attempt by it. Concurrent calls end in the same state,
because the ledger lets only one of two equal moves through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from django_feexpay import conf, failpoints, log_context
from django_feexpay.catalogue.outcomes import UNKNOWN_REASON, Word, same_reference
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.reports import HistoryRow, StatusReport, takes_back
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Incident
from django_feexpay.payments import (
    history_search,
    incidents,
    leases,
    ledger,
    missing_attempts,
    second_charges,
    webhook_hints,
)
from django_feexpay.payments.admission import gate, rate_budget
from django_feexpay.payments.durability import is_autocommit_on, refuse_outer_atomic
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.report_evaluation import evaluate_report, evidence_of, mismatch_of

logger = logging.getLogger("django_feexpay.payments")

#: Deadline of one search. Together with the last answer it ends within a lease.
TIMEOUT_SECONDS = 25.0
#: The same while a person waits for the page.
INTERACTIVE_TIMEOUT_SECONDS = 5.0

#: How long after its expiry an attempt stays PENDING or UNKNOWN while FeexPay gives no answer. Then staff decide. With
#: the default expiry that is within a day of the request.
LONGEST_SILENCE = timedelta(hours=23)

#: A doubtful refusal whose history cannot be read completely is searched for again at least this often.
_SEARCH_REFUSAL_EVERY = timedelta(hours=1)

#: The report if FeexPay's complete history does not show the attempt. It settles nothing.
NOT_IN_HISTORY = StatusReport(word=Word.MISSING)


# --- entry points --------------------------------------------------------------------------------------


@log_context.step()
def reconcile(
    attempt_id: UUID, *, source: Source, actor: str = "", note: str = "", total_seconds: float | None = None
) -> bool:
    """Ask FeexPay about an attempt and settle it by the answer.

    Returns True if FeexPay answered, also if its complete history lacks the attempt. An attempt in SENDING is skipped.
    Without an answer no status changes, and the attempt is polled again. `total_seconds` bounds the call; without it,
    FeexPay is also asked whether a credited attempt was charged a second time.
    Changes: the attempt, by `ledger.move`; Incident. Safe to repeat: yes.
    """
    attempt = _read_for_asking(attempt_id)
    if attempt is None:
        return False
    credited = attempt.life_status is Status.SUCCESSFUL
    report = _ask_and_settle(attempt, source=source, actor=actor, note=note, total_seconds=total_seconds)
    if credited and report is not None and total_seconds is None:
        _check_second_charges(attempt, source)
    return report is not None


@log_context.step()
def ask(
    attempt_id: UUID, *, source: Source, actor: str = "", note: str = "", total_seconds: float | None = None
) -> StatusReport | None:
    """Do as `reconcile` without the check for a second charge, and return the report.

    None: no answer. Word.MISSING: FeexPay has no such payment.
    Changes: the attempt, by `ledger.move`; Incident. Safe to repeat: yes.
    """
    attempt = _read_for_asking(attempt_id)
    if attempt is None:
        return None
    return _ask_and_settle(attempt, source=source, actor=actor, note=note, total_seconds=total_seconds)


def _read_for_asking(attempt_id: UUID) -> Attempt | None:
    """Read the attempt, and count the call in the rate budget. None: the attempt is in SENDING."""
    refuse_outer_atomic()
    attempt = Attempt.objects.select_related("payment__provider").get(pk=attempt_id)
    log_context.bind_attempt(attempt)
    if attempt.life_status is Status.SENDING:
        return None
    rate_budget.wait_seconds(rate_budget.SENDING)
    return attempt


@log_context.step()
def reconcile_claimed(
    held: leases.Claim, *, source: Source, poll_later: Callable[[Attempt], None] = leases.schedule
) -> bool:
    """Reconcile a claimed attempt.

    Its row as it was claimed is enough where the reference is final: each move reads the row again under its lock.
    If the rate budget is spent, it releases the claim instead, and the attempt is due again soon.
    poll_later: called when FeexPay's answer moves nothing.
    Changes: as `reconcile`. Safe to repeat: yes.
    """
    credited = held.status is Status.SUCCESSFUL
    if wait := (credited and rate_budget.wait_after_credit_seconds()) or rate_budget.wait_seconds(rate_budget.POLLING):
        leases.release(held, conf.now() + min(timedelta(seconds=wait), leases.MAX_RELEASE_DELAY))
        return False
    attempt = held.attempt
    if not _is_reference_final(attempt):
        attempt = Attempt.objects.select_related("payment__provider").get(pk=held.attempt_id)
    log_context.bind_attempt(attempt)
    answered = _ask_and_settle(attempt, source=source, poll_later=poll_later) is not None
    if credited and _check_second_charges(attempt, source) and answered:
        leases.schedule(attempt)
    return answered


def _is_reference_final(attempt: Attempt) -> bool:
    """Whether no other poll and no code can give the attempt another reference."""
    may_be_replaced = attempt.sought_by_echo or attempt.otp_required or attempt.otp_count > 0
    return attempt.gateway_reference is not None and not may_be_replaced


def reconcile_if_due(attempt: Attempt, *, source: Source, total_seconds: float) -> bool:
    """Reconcile a due attempt before its status is shown; False if it was not due or FeexPay did not answer.

    It leaves longer work to the worker: searches for lost references and checks of credited attempts.
    Changes: as `reconcile`. Safe to repeat: yes.
    """
    now = conf.now()
    findable = attempt.gateway_reference is not None or attempt.sought_by_echo
    if attempt.life_status is Status.SUCCESSFUL or not findable or not is_autocommit_on():
        return False
    if attempt.next_poll_at is None or attempt.next_poll_at > now:
        return False
    with rate_budget.slot() as free:
        if not free or gate.is_gateway_circuit_open() or rate_budget.wait_seconds(rate_budget.READING):
            return False
        return leases.claim(attempt, now) and reconcile(attempt.pk, source=source, total_seconds=total_seconds)


@log_context.step()
def find_unsent(attempt_id: UUID, *, source: Source) -> bool | None:
    """Search FeexPay's history for an attempt that waits to be sent.

    Returns True if it was found, None if the history is incomplete. A found attempt becomes PENDING and is not sent.
    Changes: the attempt, by `ledger.move`. Safe to repeat: yes.
    """
    attempt = Attempt.objects.select_related("payment__provider").get(pk=attempt_id)
    log_context.bind_attempt(attempt)
    try:
        found = history_search.search(attempt, timeout_seconds=_timeout(source, None))
    except GatewayError as error:
        _log_no_answer(attempt, error)
        return None
    if found.row is not None:
        return record_reference(attempt, str(found.row.report.reference), source) or None
    return False if found.complete else None


# --- fetch the report ----------------------------------------------------------------------------------


def _ask_and_settle(
    attempt: Attempt,
    *,
    source: Source,
    actor: str = "",
    note: str = "",
    total_seconds: float | None = None,
    poll_later: Callable[[Attempt], None] = leases.schedule,
) -> StatusReport | None:
    credited = attempt.life_status is Status.SUCCESSFUL
    answer_was_lost = attempt.gateway_reference is None and not attempt.sought_by_echo
    try:
        report = _fetch_report(attempt, source, total_seconds)
    except GatewayError as error:
        _log_no_answer(attempt, error)
        _handle_no_answer(attempt, source)
        return None
    if report is None or report is NOT_IN_HISTORY:
        return report
    failpoints.hit("asked")
    moved = settle(attempt, report, source=source, actor=actor, note=note, poll_later=poll_later)
    page_is_closed = attempt.sought_by_echo and not credited and conf.now() >= attempt.expires_at
    is_doubted = moved and report.word is Word.SUCCESSFUL and _is_doubted_by_webhooks(attempt)
    # A second charge is possible and no later poll is planned, or a webhook doubts the credit: check once more.
    if answer_was_lost or page_is_closed or is_doubted:
        leases.make_credited_due_now(attempt)
    return report


def _is_doubted_by_webhooks(attempt: Attempt) -> bool:
    """Whether webhooks name another charge of an attempt, or a reversal that came while FeexPay was asked."""
    own, since = attempt.gateway_reference or "", attempt.last_polled_at or attempt.created_at
    deliveries = list(attempt.deliveries.values_list("gateway_reference", "reported_status", "received_at"))
    if any(takes_back(word) and received_at >= since for _, word, received_at in deliveries):
        return True
    names_another = any(reference and not same_reference(reference, own) for reference, _, _ in deliveries)
    return names_another and bool(second_charges.named_by_webhooks(attempt))


def _fetch_report(attempt: Attempt, source: Source, total_seconds: float | None) -> StatusReport | None:
    """Fetch the report; None: a part of the history that may hold it is missing."""
    if attempt.sought_by_echo and attempt.life_status is not Status.SUCCESSFUL:
        return _fetch_report_by_echo(attempt, source, total_seconds)
    if attempt.gateway_reference is None:
        timeout = _timeout(source, total_seconds)
        found = history_search.search(attempt, timeout_seconds=timeout, longest_question_seconds=total_seconds)
        if found.row is None:
            return _settle_missing(attempt, source, found)
        if not record_reference(attempt, str(found.row.report.reference), source):
            return None
        if attempt.sought_by_echo:
            return _fetch_report_of_row(attempt, found.row, source, total_seconds)
    return conf.gateway().fetch_status(str(attempt.gateway_reference), total_seconds=total_seconds)


def _fetch_report_by_echo(attempt: Attempt, source: Source, total_seconds: float | None) -> StatusReport | None:
    """Find the payment that echoes our id in the history, then ask for its status.

    Both answers are authenticated: the history tells whose payment it is, the status whether it was paid. Each poll
    searches again, as the payer may pay again on the same page.
    """
    half = None if total_seconds is None else total_seconds / 2
    found = history_search.search(attempt, timeout_seconds=_timeout(source, half), longest_question_seconds=half)
    if found.row is not None:
        report = _fetch_report_of_row(attempt, found.row, source, half)
    elif attempt.gateway_reference is not None:  # FeexPay gave it when it sent the payer a code
        report = conf.gateway().fetch_status(attempt.gateway_reference, total_seconds=half)
    else:
        return _settle_missing(attempt, source, found)
    if report is not None and report.word is Word.FAILED and not found.complete:
        return _settle_missing(attempt, source, found)  # the missing part of the history may show a paid one
    return report


def _fetch_report_of_row(
    attempt: Attempt, row: HistoryRow, source: Source, total_seconds: float | None
) -> StatusReport | None:
    """Fetch the report of a row's payment; the row adds a missing id or amount."""
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


def _check_second_charges(attempt: Attempt, source: Source) -> bool:
    """Check a credited attempt for other charges; without an answer, ask again later."""
    answered = second_charges.check_all(attempt, timeout_seconds=_timeout(source, None))
    if not answered:
        leases.ask_credited_again(attempt)
    return answered


def _timeout(source: Source, total_seconds: float | None) -> float:
    usual = TIMEOUT_SECONDS if source in (Source.WORKER, Source.COMMAND) else INTERACTIVE_TIMEOUT_SECONDS
    return usual if total_seconds is None else min(usual, total_seconds)


def _log_no_answer(attempt: Attempt, error: GatewayError) -> None:
    logger.warning("FeexPay did not answer about attempt %s: %s", attempt.pk, error.code)


# --- settle the attempt --------------------------------------------------------------------------------


def settle(
    attempt: Attempt,
    report: StatusReport,
    *,
    source: Source,
    actor: str = "",
    note: str = "",
    poll_later: Callable[[Attempt], None] = leases.schedule,
) -> bool:
    """Move an attempt to the status that a report calls for; True if it moved.

    Without a move it calls `poll_later`, which schedules the next poll. A credited attempt does not move: if FeexPay
    took the money back, an incident is opened.
    Changes: the attempt, by `ledger.move`; Incident. Safe to repeat: yes.
    """
    if attempt.life_status is Status.SUCCESSFUL:
        _open_reversal(attempt, report)
        return False
    verdict = evaluate_report(attempt, report, conf.now())
    if verdict.because == "unknown_word" or report.word is Word.UNKNOWN:
        logger.error("FeexPay answered with the unknown status %r about attempt %s", report.raw_word, attempt.pk)
    moved = False
    if verdict.to_status is not None:
        evidence = evidence_of(attempt, report)
        cause = Cause(source=source, because=verdict.because, actor=actor, note=note, evidence=evidence)
        moved = _move(attempt, verdict.to_status, cause, _reason_columns(verdict.to_status, report))
    if not moved and attempt.life_status is not Status.CREATED:  # one that waits to be sent keeps its time
        poll_later(attempt)
    failpoints.hit("settled")
    return moved


def _reason_columns(to_status: Status, report: StatusReport) -> dict[str, Any]:
    if to_status is Status.FAILED:
        return {"reason_code": report.reason_code or UNKNOWN_REASON, "reason_text": report.reason_text[:200]}
    if to_status is Status.EXPIRED:
        return {"reason_code": "expired"}
    return {"reason_code": "", "reason_text": ""} if to_status is Status.SUCCESSFUL else {}


def _move(attempt: Attempt, to_status: Status, cause: Cause, columns: Mapping[str, Any]) -> bool:
    """Move an attempt and write its next poll with it.

    If an OTP was sent during the call, only a success moves the attempt: other answers do not cover that OTP.
    """
    polls = attempt.poll_count + 1
    next_poll_at = leases.next_poll(attempt, to_status, polls=polls)
    is_success = to_status is Status.SUCCESSFUL
    moved = ledger.move(
        attempt.pk,
        to_status,
        cause,
        changes={
            "payer_sealed": None,
            "next_poll_at": next_poll_at if is_success else leases.unless_earlier(attempt, next_poll_at),
            "poll_count": polls,
            **columns,
        },
        still={} if is_success else {"otp_count": attempt.otp_count},
    )
    return moved is not None


def _open_reversal(attempt: Attempt, report: StatusReport) -> None:
    """Open an incident if FeexPay took back the money of a credited attempt.

    Staff and the host decide what follows. A second charge that was refunded is no reversal: its attempt has no credit.
    """
    if not report.takes_back or mismatch_of(attempt, report):
        return
    credit = Credit.objects.filter(attempt=attempt).first()
    if credit is None:
        return
    reference = attempt.gateway_reference or ""
    charge = incidents.Charge(reference, credit.amount, credit.currency, credited_reference=reference)
    if incidents.open_once(Incident.Kind.REVERSED_AFTER_CREDIT, attempt, charge, conf.now()):
        logger.error("FeexPay took back the money of attempt %s: status %r", attempt.pk, report.raw_word)


def _settle_missing(attempt: Attempt, source: Source, found: history_search.Found) -> StatusReport | None:
    """Settle an attempt that the history does not show, or search again later.

    `missing_attempts` decides. Returns NOT_IN_HISTORY if the history was complete, else None.
    """
    now = conf.now()
    searched: dict[str, Any] = {}
    if attempt.life_status is Status.UNKNOWN:
        searched["first_empty_search_at"] = missing_attempts.first_absence_at(attempt, found, now)
    decision = missing_attempts.decide(attempt, found, now)
    if decision is None or not _move_as_decided(attempt, source, decision, searched):
        nothing_to_find = found.complete and attempt.sent_at is None and attempt.life_status is not Status.UNKNOWN
        _poll_later(attempt, searched, history_unread=not found.complete, nothing_to_find=nothing_to_find)
    return NOT_IN_HISTORY if found.complete else None


def _move_as_decided(
    attempt: Attempt, source: Source, decision: missing_attempts.Decision, columns: Mapping[str, Any]
) -> bool:
    reason = {"reason_code": decision.reason_code} if decision.reason_code else {}
    cause = Cause(source=source, because=decision.because, evidence=decision.evidence)
    return _move(attempt, decision.to_status, cause, {**columns, **reason})


def _handle_no_answer(attempt: Attempt, source: Source) -> None:
    """Ask again later; after a day without an answer, give the attempt to staff."""
    now = conf.now()
    if attempt.life_status is Status.SUCCESSFUL:
        leases.ask_credited_again(attempt)
        return
    decision = missing_attempts.decide_unread_refusal(attempt, now)
    if attempt.life_status in (Status.PENDING, Status.UNKNOWN) and now - attempt.expires_at >= LONGEST_SILENCE:
        decision = missing_attempts.Decision(Status.REVIEW, "gateway_silent")
    if decision is None or not _move_as_decided(attempt, source, decision, {}):
        _poll_later(attempt, history_unread=True)


def _poll_later(
    attempt: Attempt,
    searched: Mapping[str, Any] | None = None,
    *,
    history_unread: bool = False,
    nothing_to_find: bool = False,
) -> None:
    """Count a poll that moved nothing, and schedule the next one.

    nothing_to_find: poll again only when a webhook names the attempt. An attempt that waits to be sent keeps its time.
    """
    if attempt.life_status is Status.CREATED:
        return
    if nothing_to_find:
        rows = Attempt.objects.filter(pk=attempt.pk, status=attempt.status)
        rows.update(poll_count=F("poll_count") + 1, next_poll_at=leases.unless_changed(attempt, None))
        return
    capped = history_unread and attempt.is_doubtful_refusal
    no_later_than = conf.now() + _SEARCH_REFUSAL_EVERY if capped else None
    leases.schedule(attempt, no_later_than=no_later_than, **(searched or {}))


# --- the reference -------------------------------------------------------------------------------------


def record_reference(attempt: Attempt, reference: str, source: Source) -> bool:
    """Write the reference that the history gave.

    Returns True if the attempt has a reference now. UNKNOWN becomes PENDING, and so does CREATED, which is then not
    sent any more. In other statuses only the column changes. If another attempt holds the reference, this one goes to
    staff.
    Changes: the attempt, its deliveries. Safe to repeat: yes.
    """
    cause = Cause(source=source, because="found_in_history")
    try:
        if attempt.life_status is Status.CREATED and not _mark_as_sent(attempt, cause):
            return False  # a sender claimed it meanwhile
        if attempt.life_status in (Status.CREATED, Status.UNKNOWN):
            ledger.move(attempt.pk, Status.PENDING, cause, changes={"gateway_reference": reference})
        else:
            # The first reference stays, except where another payment may be the one that counts (a page, an OTP):
            # there the newest replaces it until the credit. FeexPay has it, so it was sent even if `sent_at` is empty.
            may_take = Q(gateway_reference=None)
            if attempt.sought_by_echo:
                may_take |= Q(sought_by_echo=True) & ~Q(status=Status.SUCCESSFUL)
            rows = Attempt.objects.filter(may_take, pk=attempt.pk)
            rows.update(gateway_reference=reference, sent_at=Coalesce("sent_at", "created_at"))
    except IntegrityError as error:
        if not ledger.is_reference_conflict(error):
            raise
        conflict = missing_attempts.Decision(Status.REVIEW, "reference_conflict")
        # FAILED: staff closed it and knew about the conflict.
        if attempt.life_status is Status.FAILED or not _move_as_decided(attempt, source, conflict, {}):
            _poll_later(attempt)
        return False
    attempt.refresh_from_db()
    webhook_hints.match(attempt.pk, reference)
    return attempt.gateway_reference is not None


def _mark_as_sent(attempt: Attempt, cause: Cause) -> bool:
    """Move CREATED to UNKNOWN without a call, as FeexPay has it already.

    Returns False if a sender moved it first. If the process dies between the two moves, `mark_sender_dead` repairs the
    attempt.
    """
    now = conf.now()
    sending = {"sent_at": attempt.created_at, "next_poll_at": now + leases.LEASE}
    if not ledger.move(attempt.pk, Status.SENDING, cause, changes=sending):
        return False
    is_page = attempt.payment.provider.spec.flow == "hosted"
    unknown = {"payer_sealed": None, "next_poll_at": now, "sought_by_echo": is_page}
    return ledger.move(attempt.pk, Status.UNKNOWN, cause, changes=unknown) is not None
