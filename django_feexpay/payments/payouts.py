"""Pay a refund out through FeexPay: approved by a second person, sent at most once, and closed only by proof.

This was never tried against FeexPay; `FEEXPAY["PAYOUTS"]` switches it on. The row is committed before its call, and the
call is made outside any transaction. A request whose outcome is unknown is never sent again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError
from django.utils.translation import gettext as _

from django_feexpay import conf, failpoints, log_context
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.catalogue.payout_routes import PAYOUT_ROUTES
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.conf import feexpay
from django_feexpay.gateway.errors import GatewayError, MisconfiguredError, NotSentError, RefusedError
from django_feexpay.gateway.reports import Accepted, usable_reference
from django_feexpay.gateway.request_bodies import PayoutRequest
from django_feexpay.models import Payout, PayoutState, Refund
from django_feexpay.payments import (
    leases,
    payout_moves,
    payout_polls,
    payout_terms,
    reconcile,
    refunds,
    staff_actions,
    webhook_hints,
)
from django_feexpay.payments.admission import rate_budget
from django_feexpay.payments.attempts import unsealed
from django_feexpay.payments.durability import durable, refuse_outer_atomic
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.staff_actions import Action, checked_reason

logger = logging.getLogger("django_feexpay.payments")

#: After this many sends that surely never left, a payout fails as never sent.
MAX_SENDS = 5
_BACK_OFF = timedelta(seconds=20)
#: How long FeexPay is asked about one payout while staff wait for the page.
ASK_SECONDS = 5.0
#: A payout that FeexPay may have received is not closed as not paid before this: its dashboard may show it late.
NOT_PAID_AFTER = timedelta(hours=1)

_MOTIVE = "Refund of your payment"


# --- approve -------------------------------------------------------------------------------------------


def approve_and_send(refund_id: int, *, reason: str, actor: str, source: Source) -> Payout:
    """Approve a proposed refund by payout and send it, or send an approved one again whose payout surely failed.

    FeexPay is first asked about the charge, which it may have taken back, and again about earlier payouts of the refund
    that failed: a few failures turn into a success.
    Must run outside a transaction. If FeexPay's rate budget is spent, the worker sends it.
    Changes: Refund, Payout, PayoutEvent, StaffAction; OutboxMessage when it is paid; Incident.
    Raises: NotAllowedError `validation_error`, `not_by_payout`, `same_person`, `too_much`, `taken_back`, `payout_open`,
    `payout_failed_lately`, `gateway_unavailable`, and those of `payout_terms.check`; InsideAtomicError.
    Safe to repeat: yes, the second call is refused.
    """
    refuse_outer_atomic()
    reason = checked_reason(reason)
    _refuse_taken_back(refund_id, actor, source)
    _refuse_unless_still_failed(refund_id, actor, source)
    payout = _approve(refund_id, reason, actor, source)
    failpoints.hit("started")
    if not rate_budget.wait_seconds(rate_budget.SENDING):
        send(payout.pk, source=source)
    leases.call_due_listeners()  # a cluster's tasks ask what became of it
    payout.refresh_from_db()
    return payout


def _refuse_taken_back(refund_id: int, actor: str, source: Source) -> None:
    """Ask FeexPay about the charge of a refund; refuse if the payer got the money back already, or if no answer comes.

    If the refund replaces a payout that FeexPay undid, FeexPay is asked about that payout, too.
    Changes: Incident, if it is the credited charge.
    """
    refund = Refund.objects.select_related("attempt__payment__provider", "incident__payout").get(pk=refund_id)
    if refund.incident is not None and refund.incident.payout is not None and not refund.credited:
        _refuse_unless_undone(refund.incident.payout, actor, source)
        _refuse_taken_back(refund.incident.payout.refund_id, actor, source)
        return
    if not refund.gateway_reference:
        return
    try:
        report = conf.gateway().fetch_status(refund.gateway_reference, total_seconds=ASK_SECONDS)
    except GatewayError:
        message = _("FeexPay could not be asked about the charge. Nothing was sent; try again soon.")
        raise NotAllowedError("gateway_unavailable", message, payment_id=refund.payment_id) from None
    if not report.takes_back:
        return
    if refund.credited:
        reconcile.settle(refund.attempt, report, source=source)
    message = _("FeexPay says that it took the money of this charge back itself. Nothing was sent: cancel the refund.")
    raise NotAllowedError("taken_back", message, payment_id=refund.payment_id)


def _refuse_unless_undone(payout: Payout, actor: str, source: Source) -> None:
    """Refuse unless FeexPay still says that it undid a paid payout."""
    report = payout_polls.ask(payout.pk, source=source, actor=actor, total_seconds=ASK_SECONDS)
    if report is None:
        message = _("FeexPay could not be asked about the earlier payout. Nothing was sent; try again soon.")
        raise NotAllowedError("gateway_unavailable", message, payment_id=payout.payment_id)
    if not payout_polls.is_undone(payout, report):
        message = _("FeexPay no longer says that it undid the earlier payout. Nothing was sent: look at that payout.")
        raise NotAllowedError("payout_open", message, payment_id=payout.payment_id)


def _refuse_unless_still_failed(refund_id: int, actor: str, source: Source) -> None:
    """Ask FeexPay about the earlier payouts of a refund; refuse if one may have paid it, or if no answer comes.

    One that FeexPay refused without a reference is asked about if a webhook names it.
    """
    failed = Payout.objects.filter(refund=refund_id, state=PayoutState.FAILED)
    payment_id = Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id)
    for payout in failed.order_by("created_at"):
        if not payout_polls.has_reference(payout):
            continue
        report = payout_polls.ask(payout.pk, source=source, actor=actor, total_seconds=ASK_SECONDS)
        if report is None:
            message = _("FeexPay could not be asked about the earlier payout. Nothing was sent; try again soon.")
            raise NotAllowedError("gateway_unavailable", message, payment_id=payment_id)
        if report.word not in (Word.FAILED, Word.MISSING):
            message = _("FeexPay no longer says that the earlier payout failed. Nothing was sent: look at that payout.")
            raise NotAllowedError("payout_open", message, payment_id=payment_id)


@durable()
def _approve(refund_id: int, reason: str, actor: str, source: Source) -> Payout:
    refund = refunds.locked(refund_id)
    if refund.way != Refund.Way.PAYOUT or refund.state not in (Refund.State.PROPOSED, Refund.State.APPROVED):
        message = _("This refund does not wait for a payout.")
        raise NotAllowedError("not_by_payout", message, payment_id=refund.payment_id)
    refunds.refuse_unapproved(refund, actor)
    refunds.refuse_open_payout(refund)
    attempt = refund.attempt
    route, now = payout_terms.check(attempt, refund.amount), conf.now()
    if refund.state == Refund.State.PROPOSED:
        refunds.mark_approved(refund, actor, now)
    payout = Payout.objects.create(
        payment_id=refund.payment_id,
        refund=refund,
        provider_code=attempt.payment.provider_id,
        route=route.path,
        amount=refund.amount,
        currency=refund.currency,
        masked_msisdn=attempt.masked_msisdn,
        msisdn_sealed=attempt.msisdn_sealed,
        proposed_by=refund.proposed_by,
        approved_by=actor,
        created_at=now,
        next_poll_at=now + leases.LEASE,  # this process sends it; if it dies before, the worker does
    )
    cause = Cause(because="approved", source=source, actor=actor, note=reason)
    payout_moves.write_event(payout, "", PayoutState.CREATED, cause, now)
    detail = {"amount": payout.amount, "currency": payout.currency, "route": payout.route, "payout": str(payout.pk)}
    staff_actions.record(Action.SEND_PAYOUT, actor=actor, source=source, target=refund, reason=reason, detail=detail)
    return payout


# --- send ----------------------------------------------------------------------------------------------


@log_context.step()
def send(payout_id: UUID, *, source: Source) -> None:
    """Send a payout that waits, and write the outcome. Only one caller moves it to SENDING and sends it.

    Must run outside a transaction. Changes: the payout, by `payout_moves.move`. Safe to repeat: yes.
    """
    refuse_outer_atomic()
    payout = Payout.objects.get(pk=payout_id)
    log_context.bind(payment_id=payout.payment_id, provider=payout.provider_code)
    msisdn = unsealed(payout.msisdn_sealed)
    if reason := _reason_not_to_send(payout, known=bool(msisdn)):
        # Only from CREATED: another process may be sending it at this moment.
        _fail(payout, source, reason, "", only_from=PayoutState.CREATED)
        return
    now = conf.now()
    sending = {"sent_at": now, "send_count": payout.send_count + 1, "next_poll_at": now + leases.LEASE}
    if not payout_moves.move(payout_id, PayoutState.SENDING, Cause(because="sent", source=source), changes=sending):
        return
    failpoints.hit("before_send")
    request = PayoutRequest(
        route=PAYOUT_ROUTES[payout.provider_code],
        msisdn=Msisdn(**msisdn),
        amount=payout.amount,
        payout_id=str(payout.pk),
        motive=_MOTIVE,
    )
    try:
        accepted = conf.gateway().pay_out(request)
    except NotSentError as error:
        _put_back(payout, source, error)
    except (RefusedError, MisconfiguredError) as error:
        logger.error("FeexPay refused payout %s: %s", payout.pk, error.code)
        _fail(payout, source, error.code, getattr(error, "text", ""))
    except GatewayError as error:
        mark_unknown(payout_id, source=source, because=error.code)
    else:
        failpoints.hit("after_send")
        _mark_accepted(payout, accepted, source)
    failpoints.hit("sent")


def send_claimed(held: payout_polls.PayoutClaim, *, source: Source) -> None:
    """Send a claimed payout; if the rate budget is spent, release the claim. Changes: as `send`."""
    if wait := rate_budget.wait_seconds(rate_budget.SENDING):
        payout_polls.release(held, conf.now() + min(timedelta(seconds=wait), leases.MAX_RELEASE_DELAY))
        return
    send(held.payout_id, source=source)


@log_context.step()
def mark_unknown(payout_id: UUID, *, source: Source, because: str) -> None:
    """Mark a payout whose answer was lost as UNKNOWN. FeexPay may have it: it is never sent again, and staff close it.

    If a webhook named the payout meanwhile, FeexPay is asked about the reference in it.
    Changes: the payout, by `payout_moves.move`. Safe to repeat: yes.
    """
    changes = {"next_poll_at": None, "reason_code": because}
    cause = Cause(because=because, source=source)
    # Only from SENDING: a sender that was thought dead may have brought FeexPay's answer meanwhile.
    if payout_moves.move(payout_id, PayoutState.UNKNOWN, cause, changes=changes, only_from=PayoutState.SENDING):
        payout = Payout.objects.get(pk=payout_id)
        log_context.bind(payment_id=payout.payment_id, provider=payout.provider_code)
        logger.error("the outcome of payout %s is unknown (%s): look for it in FeexPay's dashboard", payout_id, because)
        _ask_if_named(payout)


def _reason_not_to_send(payout: Payout, *, known: bool) -> str:
    if not feexpay.payouts:
        return "payouts_off"
    if payout.provider_code not in PAYOUT_ROUTES:
        return "no_payout_route"
    if not known:
        return "msisdn_erased"
    return "never_sent" if payout.send_count >= MAX_SENDS else ""


def _mark_accepted(payout: Payout, accepted: Accepted, source: Source) -> None:
    """Keep the reference. A final word in this answer settles nothing: it makes the payout due now, and a poll asks."""
    is_final = accepted.word in (Word.SUCCESSFUL, Word.FAILED)
    due_at = conf.now() if is_final else payout_polls.first_poll()
    changes = {"gateway_reference": accepted.reference, "next_poll_at": due_at, "reason_code": "", "poll_count": 0}
    cause = Cause(because="accepted", source=source, evidence={"word": accepted.word})
    try:
        if payout_moves.move(payout.pk, PayoutState.PENDING, cause, changes=changes):
            webhook_hints.match_payout(payout.pk, accepted.reference)
            return
    except IntegrityError as error:
        if not payout_moves.is_reference_conflict(error):
            raise
        mark_unknown(payout.pk, source=source, because="reference_conflict")
        return
    # It was closed while its answer was under way: keep the reference, and ask what really happened.
    logger.error("the answer about payout %s came after it was closed", payout.pk)
    late = Payout.objects.filter(pk=payout.pk, gateway_reference=None)
    late.update(gateway_reference=accepted.reference, next_poll_at=conf.now())


def _put_back(payout: Payout, source: Source, error: NotSentError) -> None:
    """Move back to CREATED: the request surely never left, and the worker sends it again later, a few times."""
    wait = max(timedelta(seconds=error.retry_after_seconds or 0), _BACK_OFF * 2**payout.send_count)
    changes = {"next_poll_at": conf.now() + min(wait, leases.MAX_RELEASE_DELAY), "sent_at": None}
    payout_moves.move(payout.pk, PayoutState.CREATED, Cause(because=error.code, source=source), changes=changes)


def _fail(payout: Payout, source: Source, code: str, text: str, *, only_from: PayoutState | None = None) -> None:
    """Move to FAILED, so that the refund may be paid another way.

    FeexPay surely paid nothing, unless a webhook says otherwise.
    """
    changes = {"reason_code": code, "reason_text": text[:200], "next_poll_at": None, "msisdn_sealed": None}
    cause = Cause(because=code, source=source)
    if payout_moves.move(payout.pk, PayoutState.FAILED, cause, changes=changes, only_from=only_from):
        _ask_if_named(Payout.objects.get(pk=payout.pk))


def _ask_if_named(payout: Payout) -> None:
    """Make a payout due if a webhook was faster than the answer: FeexPay may have paid it."""
    if payout_polls.has_reference(payout):
        payout_polls.make_due_now(payout)


# --- close ---------------------------------------------------------------------------------------------


def close(
    payout_id: UUID, *, paid: bool, outside_reference: str, evidence: str, reason: str, actor: str, source: Source
) -> None:
    """Close a payout whose outcome stayed unknown, by what staff saw in FeexPay's dashboard.

    FeexPay is asked first if a reference is known. The person who had it sent cannot close it.
    Must run outside a transaction. Changes: Payout, PayoutEvent, StaffAction; if it was paid, Refund, OutboxMessage.
    Raises: NotAllowedError `validation_error`, `payout_not_unknown`, `same_person`, `too_soon`; InsideAtomicError.
    Safe to repeat: yes, the second call is refused.
    """
    refuse_outer_atomic()
    reason, evidence = checked_reason(reason), evidence.strip()
    reference = usable_reference(outside_reference) if outside_reference.strip() else ""
    if not evidence or len(evidence) > staff_actions.LONGEST_REASON or "\0" in evidence:
        raise invalid("evidence", "required", _("Write what FeexPay's dashboard shows, in at most 500 characters."))
    if reference is None or (paid and not reference):
        raise invalid("outside_reference", "required", _("Write the reference that FeexPay's dashboard shows."))
    payout_polls.ask(payout_id, source=source, actor=actor, total_seconds=ASK_SECONDS)
    _close(payout_id, paid, reference, evidence, reason, actor, source)


@durable()
def _close(payout_id: UUID, paid: bool, reference: str, evidence: str, reason: str, actor: str, source: Source) -> None:
    refunds.locked(Payout.objects.values_list("refund_id", flat=True).get(pk=payout_id))
    payout = Payout.objects.get(pk=payout_id)
    if payout.life_state is not PayoutState.UNKNOWN:
        message = _("This payout is not unknown: FeexPay answered, or it was closed before.")
        raise NotAllowedError("payout_not_unknown", message, payment_id=payout.payment_id)
    if payout.approved_by == actor:
        message = _("You had this payout sent: a second person must close it.")
        raise NotAllowedError("same_person", message, payment_id=payout.payment_id)
    if not paid and conf.now() < (payout.sent_at or payout.created_at) + NOT_PAID_AFTER:
        message = _("FeexPay may show a payout late. It can be closed as not paid one hour after it was sent.")
        raise NotAllowedError("too_soon", message, payment_id=payout.payment_id)
    if reference and Payout.objects.filter(gateway_reference=reference).exclude(pk=payout_id).exists():
        raise invalid("outside_reference", "invalid", _("Another payout has this reference."))
    if paid and payout.gateway_reference not in (None, reference):
        raise invalid("outside_reference", "invalid", _("FeexPay gave this payout another reference."))
    known = payout.gateway_reference or reference or None
    # FeexPay is still asked: one closed as not paid may have been paid, and a paid one may be undone.
    again_at = conf.now() + payout_polls.AFTER_PAID[0] if paid else payout_polls.first_poll() if known else None
    changes = {"closed_by": actor, "evidence": evidence, "next_poll_at": again_at, "msisdn_sealed": None}
    changes["gateway_reference"] = known
    to = PayoutState.SUCCESSFUL if paid else PayoutState.FAILED
    because = "closed_as_paid" if paid else "closed_as_not_paid"
    cause = Cause(because=because, source=source, actor=actor, note=reason)
    if not payout_moves.move_locked(payout_id, to, cause, changes={**changes, "reason_code": because}):
        message = _("The refund of this payout was paid another way or cancelled.")
        raise NotAllowedError("payout_not_unknown", message, payment_id=payout.payment_id)
    detail = {"paid": paid, "payout": str(payout_id)}
    action = Action.CLOSE_PAYOUT
    staff_actions.record(action, actor=actor, source=source, target=payout, reason=reason, detail=detail)
