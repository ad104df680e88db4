"""Ask FeexPay about sent payouts, under the same kind of leases as attempts have."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, DateTimeField, F, Q, Value, When

from django_feexpay import conf, log_context
from django_feexpay.catalogue.outcomes import Word, same_reference
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.reports import StatusReport, takes_back
from django_feexpay.models import LIVE_PAYOUTS, Incident, Payout, PayoutState, WebhookDelivery
from django_feexpay.payments import incidents, leases, payout_moves
from django_feexpay.payments.admission import rate_budget
from django_feexpay.payments.durability import durable, refuse_outer_atomic
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.poll_schedule import AFTER_FAILURE_SECONDS

logger = logging.getLogger("django_feexpay.payments")

#: (age up to, wait). No payer waits for a payout at a screen.
_WAITS = (
    (timedelta(minutes=2), timedelta(seconds=10)),
    (timedelta(hours=1), timedelta(minutes=2)),
    (timedelta(days=2), timedelta(minutes=15)),
    (timedelta(days=60), timedelta(days=1)),
)
#: The longest planned wait of each state.
_LONGEST_WAITS = (
    ((PayoutState.CREATED, PayoutState.SENDING), leases.MAX_RELEASE_DELAY),
    ((PayoutState.PENDING, PayoutState.UNKNOWN, PayoutState.FAILED), timedelta(days=1)),
    ((PayoutState.SUCCESSFUL,), timedelta(days=7)),
)
#: At most one poll in this time because of webhooks, however many come.
_MIN_GAP = timedelta(seconds=10)
#: References in webhooks that are asked about, for a payout whose own reference never arrived.
_MOST_NAMED = 3
#: The states in which a payout is polled. There is nothing to ask about a payout that was not sent, and the lease of
#: one that is being sent must stay. A paid one does not move, but FeexPay may undo it.
POLLED = frozenset({PayoutState.PENDING, PayoutState.UNKNOWN, PayoutState.FAILED, PayoutState.SUCCESSFUL})
#: Waits after a payout was paid: FeexPay may undo it, and the webhook may be lost. No source says how late it may.
AFTER_PAID = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))
#: A payout that FeexPay has not decided after this time is marked unknown, and staff look for it. It is still polled.
LONGEST_PENDING = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PayoutClaim:
    """The right to work on one payout until `lease`. `state`: its state when it was claimed."""

    payout_id: UUID
    lease: datetime
    state: PayoutState


# --- leases --------------------------------------------------------------------------------------------


def claim_due(limit: int) -> list[PayoutClaim]:
    """Claim the payouts that have been due longest, at most `limit`; no other caller gets them.

    One that is scheduled later than the rules allow is due, too: a clock that ran ahead wrote its time.
    Changes: `next_poll_at` and `last_polled_at` of the claimed rows. Safe to repeat: yes.
    """
    if limit <= 0:
        return []
    now = conf.now()
    lease = now + leases.LEASE
    due = Payout.objects.filter(Q(next_poll_at__lte=now) | _scheduled_too_late(now)).order_by("next_poll_at")
    if not connection.features.has_select_for_update_skip_locked:
        rows = list(due.values_list("pk", "state", "next_poll_at")[:limit])
        taken = [row for row in rows if _lease(Q(pk=row[0], next_poll_at=row[2]), now, lease)]
        return [PayoutClaim(pk, lease, PayoutState(state)) for pk, state, _due_at in taken]
    with durable():
        locked = list(due.select_for_update(skip_locked=True).values_list("pk", "state")[:limit])
        _lease(Q(pk__in=[pk for pk, _state in locked]), now, lease)
    return [PayoutClaim(pk, lease, PayoutState(state)) for pk, state in locked]


def _scheduled_too_late(now: datetime) -> Q:
    later = Q()
    for states, wait in _LONGEST_WAITS:
        later |= Q(state__in=states, next_poll_at__gt=now + wait + leases.LEASE + conf.CLOCK_SLACK)
    return later


def _lease(which: Q, now: datetime, lease: datetime) -> int:
    is_poll = When(state__in=POLLED, then=Value(now, DateTimeField()))  # the others are sent
    polled_at = Case(is_poll, default=F("last_polled_at"))
    return Payout.objects.filter(which).update(next_poll_at=lease, last_polled_at=polled_at)


def release(held: PayoutClaim, next_poll_at: datetime) -> None:
    """Give up a claim unused, unless another caller changed the payout meanwhile. Changes: `next_poll_at`."""
    Payout.objects.filter(pk=held.payout_id, next_poll_at=held.lease).update(next_poll_at=next_poll_at)


def make_due_now(payout: Payout) -> None:
    """Make a payout due now, or _MIN_GAP after its last poll; never later than it already is.

    Changes: `next_poll_at`, unless it was not sent yet or is being sent. Safe to repeat: yes.
    """
    now = conf.now()
    last = payout.last_polled_at
    at = now if last is None else min(max(now, last + _MIN_GAP), now + _MIN_GAP)
    later = Q(next_poll_at=None) | Q(next_poll_at__gt=at)
    if Payout.objects.filter(later, pk=payout.pk, state__in=POLLED).update(next_poll_at=at):
        leases.call_due_listeners()


def first_poll() -> datetime:
    """When a payout that FeexPay just accepted is polled."""
    return conf.now() + _WAITS[0][1]


def _next_poll(payout: Payout, state: PayoutState) -> datetime | None:
    """When to poll a payout that is, or will be, in `state`; None: never again."""
    now = conf.now()
    if state is PayoutState.FAILED:
        ended_at = min(payout.ended_at or now, now)
        times = (ended_at + timedelta(seconds=seconds) for seconds in AFTER_FAILURE_SECONDS)
        return next((at for at in times if at > now), None)
    if state is PayoutState.SUCCESSFUL:
        paid_at = min(payout.ended_at or now, now)
        return None if payout.incidents.exists() else next((paid_at + w for w in AFTER_PAID if paid_at + w > now), None)
    age = now - (payout.sent_at or payout.created_at)
    return next((now + wait for up_to, wait in _WAITS if age < up_to), None)


# --- ask -----------------------------------------------------------------------------------------------


def ask_claimed(held: PayoutClaim, *, source: Source) -> None:
    """Ask about a claimed payout; if the rate budget is spent, release the claim. Changes: as `ask`."""
    if wait := rate_budget.wait_seconds(rate_budget.POLLING):
        release(held, conf.now() + min(timedelta(seconds=wait), leases.MAX_RELEASE_DELAY))
        return
    ask(held.payout_id, source=source)


@log_context.step()
def ask(payout_id: UUID, *, source: Source, actor: str = "", total_seconds: float | None = None) -> StatusReport | None:
    """Ask FeexPay about a payout, by its reference or by one that a webhook names, and settle it by the answer.

    A paid payout does not move: if FeexPay undid it, an incident is opened.
    None: no answer, or no reference to ask by.
    Must run outside a transaction. Changes: the payout, by `payout_moves.move`; Incident, OutboxMessage.
    Safe to repeat: yes.
    """
    refuse_outer_atomic()
    payout = Payout.objects.get(pk=payout_id)
    log_context.bind(payment_id=payout.payment_id, provider=payout.provider_code)
    references = _references_of(payout)
    if not references or payout.life_state not in POLLED:
        return None
    reference, report = _fetch(payout, references, total_seconds)
    _settle(payout, reference, report, source, actor)
    return report


def has_reference(payout: Payout) -> bool:
    """Whether FeexPay can be asked about a payout."""
    return bool(_references_of(payout))


def _references_of(payout: Payout) -> list[str]:
    """FeexPay's reference; if its answer was lost, the newest ones that webhooks name together with the payout's id.

    They prove nothing: only a report of FeexPay that echoes the id counts.
    """
    if payout.gateway_reference is not None:
        return [payout.gateway_reference]
    deliveries = WebhookDelivery.objects.filter(payout=payout).exclude(gateway_reference="").order_by("-id")
    return list(dict.fromkeys(deliveries.values_list("gateway_reference", flat=True)))[:_MOST_NAMED]


def _fetch(
    payout: Payout, references: list[str], total_seconds: float | None
) -> tuple[str | None, StatusReport | None]:
    """The reference whose report is about the payout, and the report. None: no answer."""
    each_seconds = None if total_seconds is None else total_seconds / len(references)
    for reference in references:
        try:
            report = conf.gateway().fetch_payout_status(reference, total_seconds=each_seconds)
        except GatewayError as error:
            logger.warning("no answer about payout %s: %s", payout.pk, error.code)
            continue
        if payout.gateway_reference is not None or report.echo == str(payout.pk):
            return reference, report
    return None, None


def _settle(payout: Payout, reference: str | None, report: StatusReport | None, source: Source, actor: str) -> None:
    to, because = evaluate(payout, reference, report, conf.now())
    if payout.life_state is PayoutState.SUCCESSFUL and report is not None and is_undone(payout, report):
        _open_incident(payout, report)
    if to is None:
        again_at = conf.now() + leases.AGAIN_AFTER_CREDIT if report is None else None
        _schedule(payout, no_later_than=again_at if payout.life_state is PayoutState.SUCCESSFUL else None)
        return
    changes: dict[str, Any] = {"last_polled_at": conf.now(), "reason_code": because}
    next_poll_at = _next_poll(payout, to)
    if reference is not None:
        changes["gateway_reference"] = reference
    if report is not None and to is PayoutState.FAILED:
        changes |= {"reason_code": report.reason_code or "failed", "reason_text": report.reason_text[:200]}
        changes["msisdn_sealed"] = None
        next_poll_at = conf.now() + timedelta(seconds=AFTER_FAILURE_SECONDS[0])
    if to is PayoutState.SUCCESSFUL:
        next_poll_at = conf.now() + AFTER_PAID[0]
    changes["next_poll_at"] = leases.unless_changed(payout, next_poll_at)
    evidence = {} if report is None else _evidence_of(payout, report)
    cause = Cause(because=because, source=source, actor=actor, evidence=evidence)
    if payout_moves.move(payout.pk, to, cause, changes=changes):
        if to is PayoutState.SUCCESSFUL and _is_doubted_by_webhooks(payout):
            make_due_now(payout)
        return
    if to is PayoutState.SUCCESSFUL and payout.life_state is PayoutState.FAILED:
        logger.error("payout %s was paid after FeexPay reported its failure: its refund has ended", payout.pk)
        failed = Payout.objects.filter(pk=payout.pk, state=PayoutState.FAILED, paid_after_failure_at=None)
        failed.update(paid_after_failure_at=conf.now(), gateway_reference=reference)
    _schedule(payout)


def _is_doubted_by_webhooks(payout: Payout) -> bool:
    """Whether a webhook said, while FeexPay was asked, that the payout failed or was undone."""
    since = payout.last_polled_at or payout.created_at
    words = payout.deliveries.filter(received_at__gte=since).values_list("reported_status", flat=True)
    return any(takes_back(word) for word in words)


def _open_incident(payout: Payout, report: StatusReport) -> None:
    """Open an incident about a paid payout that FeexPay undid. Staff decide what follows; nothing is paid again."""
    reference, refund = payout.gateway_reference or "", payout.refund
    charge = incidents.Charge(reference, payout.amount, payout.currency, refund.gateway_reference, payout)
    if incidents.open_once(Incident.Kind.PAYOUT_UNDONE, refund.attempt, charge, conf.now()):
        logger.error("FeexPay undid the paid payout %s: status %r", payout.pk, report.raw_word)


def _schedule(payout: Payout, *, no_later_than: datetime | None = None) -> None:
    """Count a poll that moved nothing, and write the next one unless another caller changed the payout."""
    planned = _next_poll(payout, payout.life_state)
    if no_later_than is not None:
        planned = min(planned or no_later_than, no_later_than)
    next_poll_at = leases.unless_changed(payout, planned)
    rows = Payout.objects.filter(pk=payout.pk, state=payout.state)
    rows.update(poll_count=F("poll_count") + 1, last_polled_at=conf.now(), next_poll_at=next_poll_at)


# --- judge the report ----------------------------------------------------------------------------------


def evaluate(
    payout: Payout, reference: str | None, report: StatusReport | None, now: datetime
) -> tuple[PayoutState | None, str]:
    """The state that a report about `reference` calls for, and why; None: no move. A pure function.

    Paid or failed only if the report names that reference and echoes our id, and contradicts nothing we know. Else the
    payout is unknown, and staff look at it: money may have gone to another number, or another amount was sent.
    """
    state = payout.life_state
    word = Word.UNKNOWN if report is None else report.word
    if report is not None and word in (Word.SUCCESSFUL, Word.FAILED):
        if doubt := _doubt(payout, reference or "", report):
            return (PayoutState.UNKNOWN, doubt) if state is PayoutState.PENDING else (None, doubt)
        if word is Word.SUCCESSFUL:
            return PayoutState.SUCCESSFUL, "confirmed"
        return (PayoutState.FAILED, "failed") if state in LIVE_PAYOUTS else (None, "failed")  # a paid one stays paid
    if state is PayoutState.PENDING and now - (payout.sent_at or payout.created_at) > LONGEST_PENDING:
        return PayoutState.UNKNOWN, "not_decided"
    return None, "waiting"


def is_undone(payout: Payout, report: StatusReport) -> bool:
    """Whether a report says that FeexPay undid this paid payout, and contradicts nothing we know. A pure function."""
    return report.takes_back and not _doubt(payout, payout.gateway_reference or "", report)


def _doubt(payout: Payout, reference: str, report: StatusReport) -> str:
    """The code of the first fact that contradicts the payout or is missing, or ""."""
    if report.reference is None or not same_reference(report.reference, reference):
        return "reference_mismatch"
    if report.echo != str(payout.pk):
        return "echo_mismatch"
    ending = report.msisdn_ending if payout.masked_msisdn else None  # its payer may have been erased
    if ending is not None and not payout.masked_msisdn.endswith(ending):
        return "msisdn_mismatch"
    if report.currency not in (None, payout.currency):
        return "currency_mismatch"
    if report.word is Word.SUCCESSFUL and report.amount != payout.amount:
        return "amount_mismatch"
    return ""


def _evidence_of(payout: Payout, report: StatusReport) -> dict[str, Any]:
    return {
        "word": report.word,
        "reference": report.reference,
        "echo_matches": report.echo == str(payout.pk),
        "amount": report.amount,
    }
