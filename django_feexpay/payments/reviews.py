"""Close an attempt under review: a person decides if FeexPay's answer does not.

Each decision asks FeexPay first. If the answer is decisive, it settles the attempt and the person's decision is
refused. Above `REVIEW_TWO_PERSON_ABOVE` one person proposes and a second one approves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.conf import feexpay
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment, ReviewDecision, ReviewProposal, StaffAction
from django_feexpay.models.payment import read_payments
from django_feexpay.payments import leases, ledger, reconcile, review_facts, staff_actions
from django_feexpay.payments.durability import durable
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.report_evaluation import evaluate_report, evidence_of
from django_feexpay.payments.review_facts import Facts
from django_feexpay.payments.staff_actions import checked_reason

Outcome = ReviewProposal.Outcome

#: The reason code of an attempt that a person closed as not paid.
NOT_PAID_REASON = "not_paid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The result of `close`. `proposal`: the decision that waits for a second person; None: the attempt is closed."""

    payment: Payment
    attempt: Attempt
    proposal: ReviewProposal | None = None


def close(
    payment_id: UUID,
    decision: str,
    *,
    reason: str,
    actor: str,
    source: Source,
    approve: bool = False,
    attempt_id: UUID | None = None,
    seen: str | None = None,
) -> Closing:
    """Close the newest attempt under review of a payment, or propose to close it.

    Above the limit two persons are needed: the first one proposes.
    `actor`: the primary key of a user. `approve`: carry out another person's proposal. `attempt_id`, `seen`: the
    attempt and the `Facts.fingerprint` that the person saw; if they differ now, nothing is decided.
    Must run outside a transaction, because it asks FeexPay.
    Changes: the attempt, by `ledger.move`; or ReviewProposal; StaffAction.
    Raises: NotAllowedError if no decision was made: `validation_error`, `not_under_review`,
    `gateway_unavailable`, `decided_by_gateway`; `charge_of_another`, `no_charge_shown`, `charge_shown`,
    `history_incomplete`, `answer_changed`; `already_proposed`, `no_proposal`, `same_person`.
    Safe to repeat: yes, a second call finds nothing under review, or the same proposal.
    """
    chosen, reason = _decision(decision), checked_reason(reason)
    attempt = under_review(payment_id)
    if attempt is None or attempt_id not in (None, attempt.pk):
        raise _not_under_review(payment_id)
    facts, is_outdated = _fetch(attempt, source=source, actor=actor)
    if seen not in (None, facts.fingerprint) or (approve and is_outdated):
        message = _("FeexPay's answer has changed. Read the payment again, then decide.")
        raise NotAllowedError("answer_changed", message, payment_id=payment_id)
    if refusal := refusal_of(chosen, attempt, facts):
        raise refusal
    proposal = None
    if approve:
        proposal = _approvable(attempt, chosen, actor)
    elif needs_second_person(attempt, facts):
        proposal = _propose(attempt, facts, chosen, Cause(source=source, because=chosen, actor=actor, note=reason))
        return Closing(payment=read_payments().get(pk=payment_id), attempt=attempt, proposal=proposal)
    cause = Cause(source=source, because=chosen, actor=actor, note=reason)
    _close(attempt, facts, proposal, cause)
    _record(attempt, cause, "closed" if proposal is None else "approved")
    return Closing(payment=read_payments().get(pk=payment_id), attempt=Attempt.objects.get(pk=attempt.pk))


def fetch_facts(attempt: Attempt, *, source: Source, actor: str) -> Facts:
    """Ask FeexPay about an attempt under review.

    It ends a proposal that was made on other facts.
    Changes: the attempt, if the answer is decisive; ReviewProposal.
    Raises: NotAllowedError `decided_by_gateway`, `gateway_unavailable`. Safe to repeat: yes.
    """
    facts, _is_outdated = _fetch(attempt, source=source, actor=actor)
    return facts


def under_review(payment_id: UUID) -> Attempt | None:
    """The newest attempt under review of a payment. Older ones can be closed after it."""
    attempts = Attempt.objects.select_related("payment__provider").filter(payment=payment_id, status=Status.REVIEW)
    return attempts.order_by("-ordinal").first()


def open_proposal(attempt: Attempt) -> ReviewProposal | None:
    """The proposal that waits for a second person, if any."""
    return ReviewProposal.objects.filter(attempt=attempt, outcome=Outcome.OPEN).first()


def needs_second_person(attempt: Attempt, facts: Facts) -> bool:
    """Whether the amount asked for, or the amount taken, is above the host's limit."""
    limit = feexpay.review_two_person_above
    return limit is not None and max(attempt.amount, facts.report.amount or 0) > limit


def refusal_of(decision: ReviewDecision, attempt: Attempt, facts: Facts) -> NotAllowedError | None:
    """The error if FeexPay's answer does not allow this decision, else None."""
    code, message = _objection(decision, attempt, facts)
    return NotAllowedError(code, message, payment_id=attempt.payment_id) if code else None


def actor_of(user: Any) -> str:
    """The primary key of an active user, given as such or by name.

    Raises: NotAllowedError `validation_error`.
    """
    users = get_user_model()
    if isinstance(user, str):
        user = users._default_manager.filter(**{users.USERNAME_FIELD: user}).first()
    if not isinstance(user, users) or user.pk is None or not user.is_active:
        raise invalid("actor", "invalid", _("A review is closed by a person: name an active user."))
    return str(user.pk)


# --- the input -----------------------------------------------------------------------------------------


def _decision(name: str) -> ReviewDecision:
    try:
        return ReviewDecision(name)
    except ValueError:
        known = ", ".join(ReviewDecision.values)
        raise invalid("decision", "invalid", _("Decisions are: %(known)s.") % {"known": known}) from None


def _not_under_review(payment_id: UUID) -> NotAllowedError:
    return NotAllowedError("not_under_review", _("This payment is not under review."), payment_id=payment_id)


def _fetch(attempt: Attempt, *, source: Source, actor: str) -> tuple[Facts, bool]:
    """FeexPay's facts, and whether they ended a proposal that was made on other facts."""
    try:
        facts = review_facts.fetch(attempt, source=source)
    except GatewayError:
        message = _("FeexPay cannot be asked at the moment. Nothing is decided without its answer; try again soon.")
        raise NotAllowedError(
            "gateway_unavailable", message, payment_id=attempt.payment_id, retry_after_seconds=30
        ) from None
    _settle_if_decisive(attempt, facts, source, actor)
    return facts, _end_outdated(attempt, facts)


# --- decisions that FeexPay's answer allows ------------------------------------------------------------


def _settle_if_decisive(attempt: Attempt, facts: Facts, source: Source, actor: str) -> None:
    """Settle the attempt if FeexPay's answer decides it. Raises: NotAllowedError."""
    verdict = evaluate_report(attempt, facts.report, conf.now())
    may_hide_a_charge = attempt.sought_by_echo and not facts.history_complete and verdict.to_status is Status.FAILED
    if verdict.to_status not in (Status.SUCCESSFUL, Status.FAILED) or not facts.is_proof or may_hide_a_charge:
        return
    reconcile.settle(attempt, facts.report, source=source, actor=actor)
    if verdict.to_status is Status.SUCCESSFUL:
        message = _("FeexPay confirms this payment: it counts as paid. There is nothing left to decide.")
    else:
        message = _("FeexPay confirms that nothing was taken: it has failed. There is nothing left to decide.")
    raise NotAllowedError("decided_by_gateway", message, payment_id=attempt.payment_id)


def _objection(decision: ReviewDecision, attempt: Attempt, facts: Facts) -> tuple[str, str]:
    """The code and the message of the objection to a decision, or two empty texts."""
    if decision is ReviewDecision.NOT_PAID:
        return _objection_to_not_paid(attempt, facts)
    if facts.shows_charge and facts.holder is not None:
        message = _("This money belongs to payment %(payment)s at FeexPay. It cannot be credited a second time.")
        return "charge_of_another", message % {"payment": facts.holder.payment_id}
    if decision is ReviewDecision.CREDIT_TAKEN:
        if facts.report.word is not Word.SUCCESSFUL:
            return "no_charge_shown", _("FeexPay does not say that money was taken.")
        if not facts.report.amount:
            return "no_charge_shown", _("FeexPay does not say how much was taken.")
    return "", ""


def _objection_to_not_paid(attempt: Attempt, facts: Facts) -> tuple[str, str]:
    is_credited_elsewhere = facts.holder is not None and facts.holder.life_status is Status.SUCCESSFUL
    if facts.shows_charge and not is_credited_elsewhere:
        if facts.report.word is Word.SUCCESSFUL:
            return "charge_shown", _("FeexPay says that money was taken.")
        return "charge_shown", _("FeexPay does not say that it failed: money may still be taken.")
    known_by_reference = attempt.gateway_reference is not None and not attempt.sought_by_echo
    if facts.history_complete is False and not known_by_reference:
        return "history_incomplete", _(
            "FeexPay's history could not be read completely: the payment may be in the missing part."
        )
    return "", ""


# --- two persons ---------------------------------------------------------------------------------------


@durable()
def _propose(attempt: Attempt, facts: Facts, decision: ReviewDecision, cause: Cause) -> ReviewProposal:
    """Write a proposal in place of an open one. An open one with the same decision by the same person stays."""
    _lock_review(attempt)
    earlier = open_proposal(attempt)
    if earlier is not None and earlier.decision == decision:
        if earlier.proposed_by == cause.actor:
            return earlier
        message = _("Another person proposed this already: approve it.")
        raise NotAllowedError("already_proposed", message, payment_id=attempt.payment_id)
    if earlier is not None:
        _end(earlier, Outcome.REPLACED, cause.actor)
    _record(attempt, cause, "proposed")
    return ReviewProposal.objects.create(
        attempt=attempt,
        decision=decision,
        reason=cause.note,
        gateway_word=facts.report.word,
        gateway_amount=facts.report.amount,
        source=cause.source,
        proposed_by=cause.actor,
        proposed_at=conf.now(),
    )


@durable()
def _end_outdated(attempt: Attempt, facts: Facts) -> bool:
    """End a proposal that was made on another answer; True if there was one."""
    proposal = open_proposal(attempt)
    answer = (facts.report.word, facts.report.amount)
    if proposal is None or (proposal.gateway_word, proposal.gateway_amount) == answer:
        return False
    _lock_review(attempt)
    _end(proposal, Outcome.OUTDATED, "")
    return True


def _end(proposal: ReviewProposal, outcome: Outcome, actor: str) -> None:
    still_open = ReviewProposal.objects.filter(pk=proposal.pk, outcome=Outcome.OPEN)
    still_open.update(outcome=outcome, ended_by=actor, ended_at=conf.now())


def _lock_review(attempt: Attempt) -> None:
    """Lock the payment, as a move does, and check that the attempt is under review."""
    Payment.objects.select_for_update(of=("self",)).get(pk=attempt.payment_id)
    if not Attempt.objects.filter(pk=attempt.pk, status=Status.REVIEW).exists():
        raise _not_under_review(attempt.payment_id)


def _approvable(attempt: Attempt, decision: ReviewDecision, actor: str) -> ReviewProposal:
    """The open proposal of this decision by another person. Raises: NotAllowedError."""
    proposal = open_proposal(attempt)
    if proposal is None or proposal.decision != decision:
        message = _("No decision was proposed for this payment, so there is nothing to approve.")
        raise NotAllowedError("no_proposal", message, payment_id=attempt.payment_id)
    if proposal.proposed_by == actor:
        message = _("You proposed this yourself: a second person must approve it.")
        raise NotAllowedError("same_person", message, payment_id=attempt.payment_id)
    return proposal


# --- the move ------------------------------------------------------------------------------------------


def _close(attempt: Attempt, facts: Facts, proposal: ReviewProposal | None, cause: Cause) -> None:
    not_paid = cause.because == ReviewDecision.NOT_PAID
    to_status = Status.FAILED if not_paid else Status.SUCCESSFUL
    taken = facts.report.amount if cause.because == ReviewDecision.CREDIT_TAKEN else None
    # Poll a credited attempt once more: until now its other charges did not count as second charges.
    next_poll_at = leases.unless_earlier(attempt, leases.next_poll(attempt, to_status)) if not_paid else conf.now()
    moved = ledger.move(
        attempt.pk,
        to_status,
        Cause(
            source=cause.source,
            because=cause.because,
            actor=cause.actor,
            note=cause.note,
            evidence=_evidence(attempt, facts, proposal),
        ),
        changes={
            "payer_sealed": None,
            "next_poll_at": next_poll_at,
            "reason_code": NOT_PAID_REASON if not_paid else "",
            "reason_text": "",
        },
        # FeexPay answered about this reference and these OTPs: if either changed meanwhile, or another person decided,
        # nothing is moved.
        still={
            "status": Status.REVIEW,
            "gateway_reference": attempt.gateway_reference,
            "otp_count": attempt.otp_count,
        },
        credited_amount=taken,
        proposal_id=None if proposal is None else proposal.pk,
    )
    if not moved:
        message = _("The payment was changed at the same time: your decision was not applied. Read the payment again.")
        raise NotAllowedError("not_under_review", message, payment_id=attempt.payment_id)


def _record(attempt: Attempt, cause: Cause, step: str) -> None:
    """Write a step (`proposed`, `approved` or `closed`) to the audit list."""
    staff_actions.record(
        StaffAction.Action.CLOSE_REVIEW,
        actor=cause.actor,
        source=cause.source,
        target=attempt.payment,
        reason=cause.note,
        detail={"step": step, "decision": cause.because, "attempt": attempt.ordinal},
    )


def _evidence(attempt: Attempt, facts: Facts, proposal: ReviewProposal | None) -> dict[str, Any]:
    """FeexPay's answer, and the two-person limit at this time; invariant I13 checks both."""
    return {
        **evidence_of(attempt, facts.report),
        "asked_at": facts.asked_at.isoformat(timespec="seconds"),
        "history_complete": facts.history_complete,
        "two_person_above": feexpay.review_two_person_above,
        "proposal": None if proposal is None else proposal.pk,
        "holder": None if facts.holder is None else str(facts.holder.pk),
    }
