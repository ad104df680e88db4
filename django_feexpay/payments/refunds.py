"""Record what went back to a payer, never more than FeexPay took for the charge.

A refund is about one charge at FeexPay: the credited one of a payment, a second charge that an incident is about, or
the money of a payout that FeexPay undid.
The money is paid out elsewhere, for example in FeexPay's dashboard; this module makes no call. Above
`REVIEW_TWO_PERSON_ABOVE` one person proposes the refund and a second one approves it. A refund by `payout` always needs
the second person, who has it sent (`payouts`); FeexPay's report then records it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Sum
from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.catalogue import money
from django_feexpay.catalogue.outcomes import same_reference
from django_feexpay.conf import feexpay
from django_feexpay.models import Attempt, Credit, Incident, OutboxMessage, Payment, PaymentEvent, Payout, Refund
from django_feexpay.payments import payout_terms, staff_actions
from django_feexpay.payments.durability import durable
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.payments.staff_actions import Action, checked_reason

Source = PaymentEvent.Source
State = Refund.State
Way = Refund.Way

LONGEST_REFERENCE = 128
#: FeexPay reports a few failures that turn into a success. After this time a refund may be paid another way.
FAILURE_IS_SURE_AFTER = timedelta(minutes=10)
#: These ways give the payout a reference, which must be recorded.
WAYS_WITH_REFERENCE = frozenset({Way.GATEWAY, Way.MOBILE_MONEY})


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundableCharge:
    """A charge at FeexPay and its refunds. Amounts are in the minor unit of `currency`.

    taken: what FeexPay took, or the amount asked for if FeexPay named none. recorded: what went back. proposed: what
    waits for a second person or for its payout. incident: the incident that reported the charge; None for the credited
    charge itself.
    A payout that FeexPay undid counts like a second charge: its money is with the shop again, and its refund stays.
    """

    attempt: Attempt
    incident: Incident | None
    credited: bool
    reference: str
    taken: int
    currency: str
    recorded: int
    proposed: int

    @property
    def refunded(self) -> int:
        """What went back, or is proposed to go back."""
        return self.recorded + self.proposed

    @property
    def left(self) -> int:
        """What may still be refunded."""
        return self.taken - self.refunded

    @property
    def owed(self) -> int:
        """What has not gone back yet."""
        return self.taken - self.recorded


# --- what can be refunded ------------------------------------------------------------------------------


def charges_of(payment_id: UUID) -> list[RefundableCharge]:
    """The charges of a payment: the credited one first, if any, then the one of each incident.

    An incident may be about the credited charge: then both have the same sums.
    """
    credit = Credit.objects.select_related("attempt").filter(payment=payment_id).first()
    incidents = Incident.objects.filter(payment=payment_id).select_related("attempt", "payment").order_by("pk")
    sums = _sums(payment_id)
    charges = []
    if credit is not None:
        charges.append(_credited_charge(credit, None, sums))
    for incident in incidents:
        if credit is not None and is_about_credit(incident, credit.attempt):
            charges.append(_credited_charge(credit, incident, sums))
        else:
            charges.append(_second_charge(incident, sums))
    return charges


def charge_of(payment_id: UUID, incident_id: int | None = None) -> RefundableCharge:
    """The credited charge of a payment, or the charge of one of its incidents.

    Raises: NotAllowedError `nothing_to_refund`.
    """
    for charge in charges_of(payment_id):
        if incident_id == (charge.incident.pk if charge.incident else None):
            return charge
    message = _("FeexPay took no money for this payment, so there is nothing to refund.")
    raise NotAllowedError("nothing_to_refund", message, payment_id=payment_id)


def is_about_credit(incident: Incident, credited: Attempt) -> bool:
    """Whether an incident is about the charge that `credited` was credited for.

    That is a reversal, and a second payment of an order: it was credited, too. An undone payout is no charge.
    """
    if incident.attempt_id != credited.pk or incident.kind == Incident.Kind.PAYOUT_UNDONE:
        return False
    is_reversal = incident.kind == Incident.Kind.REVERSED_AFTER_CREDIT
    return is_reversal or same_reference(incident.gateway_reference, credited.gateway_reference or "")


_Sums = dict[tuple[int | None, str], int]


def _sums(payment_id: UUID) -> _Sums:
    """The sum of the refunds by charge and state. A charge is the id of its incident; None is the credited charge."""
    rows = Refund.objects.filter(payment=payment_id).exclude(state=State.CANCELLED).order_by()
    sums: _Sums = {}
    for credited, incident_id, state, amount in rows.values_list("credited", "incident", "state").annotate(
        total=Sum("amount")
    ):
        key = (None if credited else incident_id, state)
        sums[key] = sums.get(key, 0) + amount
    return sums


def _credited_charge(credit: Credit, incident: Incident | None, sums: _Sums) -> RefundableCharge:
    return RefundableCharge(
        attempt=credit.attempt,
        incident=incident,
        credited=True,
        reference=credit.attempt.gateway_reference or "",
        taken=credit.amount,
        currency=credit.currency,
        recorded=sums.get((None, State.RECORDED), 0),
        proposed=sums.get((None, State.PROPOSED), 0) + sums.get((None, State.APPROVED), 0),
    )


def _second_charge(incident: Incident, sums: _Sums) -> RefundableCharge:
    return RefundableCharge(
        attempt=incident.attempt,
        incident=incident,
        credited=False,
        reference=incident.gateway_reference,
        taken=incident.attempt.amount if incident.amount is None else incident.amount,
        currency=incident.currency or incident.payment.charged_currency,
        recorded=sums.get((incident.pk, State.RECORDED), 0),
        proposed=sums.get((incident.pk, State.PROPOSED), 0) + sums.get((incident.pk, State.APPROVED), 0),
    )


# --- record, approve, cancel ---------------------------------------------------------------------------


@durable()
def record(
    payment_id: UUID,
    *,
    incident_id: int | None = None,
    amount: int,
    way: str,
    outside_reference: str = "",
    reason: str,
    actor: str,
    source: Source,
    refunded_before: int | None = None,
    phone: str = "",
) -> Refund:
    """Record a refund of a charge, or propose it if the charge's refunds come to more than the limit for one person.

    `incident_id`: the incident about the charge; None: the credited charge. `actor`: the primary key of a user.
    `refunded_before`: `RefundableCharge.refunded` as the person saw it; if it differs now, nothing is recorded.
    `phone`: for a payout after the number was erased, the number as its payer told it.
    Changes: Refund, StaffAction; Attempt with `phone`; unless it is only proposed, OutboxMessage.
    Raises: NotAllowedError `validation_error`, `nothing_to_refund`, `refunds_changed`, `too_much`; by payout also
    those of `payout_terms.check`.
    Safe to repeat: with `refunded_before`, yes: the second call is refused.
    """
    chosen, reference, reason = _checked(amount, way, outside_reference, reason)
    _lock(payment_id)
    charge = charge_of(payment_id, incident_id)
    if refunded_before not in (None, charge.refunded):
        message = _("Another refund of this charge was recorded meanwhile. Look at the sums again.")
        raise NotAllowedError("refunds_changed", message, payment_id=payment_id)
    _refuse_too_much(charge, amount)
    if chosen is Way.PAYOUT:
        if phone and charge.attempt.msisdn_sealed is None:
            payout_terms.restore_number(charge.attempt, phone)
        payout_terms.check(charge.attempt, amount)
    now, limit = conf.now(), feexpay.review_two_person_above
    alone = chosen is not Way.PAYOUT and (limit is None or charge.refunded + amount <= limit)
    refund = Refund.objects.create(
        payment_id=payment_id,
        attempt=charge.attempt,
        incident=charge.incident,
        credited=charge.credited,
        gateway_reference=charge.reference,
        amount=amount,
        currency=charge.currency,
        way=chosen,
        outside_reference=reference,
        reason=reason,
        state=State.RECORDED if alone else State.PROPOSED,
        event_id=uuid.uuid4() if alone else None,
        two_person_above=limit,
        source=source,
        proposed_by=actor,
        proposed_at=now,
        recorded_at=now if alone else None,
    )
    if alone:
        _announce(refund, now)
    _record_action(Action.REFUND, refund, actor, source, reason)
    return refund


@durable()
def approve(refund_id: int, *, reason: str, actor: str, source: Source) -> Refund:
    """Record a refund that another person proposed.

    Changes: Refund, OutboxMessage, StaffAction.
    Raises: NotAllowedError `validation_error`, `not_proposed`, `paid_by_payout`, `same_person`, `too_much`.
    Safe to repeat: yes, the second call is refused.
    """
    reason = checked_reason(reason)
    refund = _locked_proposal(refund_id)
    if refund.way == Way.PAYOUT:
        message = _("This refund is approved by sending its payout: only FeexPay's report records it.")
        raise NotAllowedError("paid_by_payout", message, payment_id=refund.payment_id)
    refuse_unapproved(refund, actor)
    now = conf.now()
    refund.state, refund.event_id = State.RECORDED, uuid.uuid4()
    refund.approved_by, refund.approved_at, refund.recorded_at = actor, now, now
    refund.save(update_fields=["state", "event_id", "approved_by", "approved_at", "recorded_at"])
    _announce(refund, now)
    _record_action(Action.APPROVE_REFUND, refund, actor, source, reason)
    return refund


@durable()
def cancel(refund_id: int, *, reason: str, actor: str, source: Source) -> Refund:
    """Cancel a refund whose money did not go back. A recorded refund stays: the money is with the payer.

    An approved one can be cancelled when its payout surely failed.
    Changes: Refund, StaffAction.
    Raises: NotAllowedError `validation_error`, `not_proposed`, `payout_open`, `payout_failed_lately`.
    Safe to repeat: yes, the second call is refused.
    """
    reason = checked_reason(reason)
    refund = _locked_proposal(refund_id, or_approved=True)
    if refund.state == State.APPROVED:
        refuse_open_payout(refund)
    refund.state, refund.cancelled_by, refund.cancelled_at = State.CANCELLED, actor, conf.now()
    refund.save(update_fields=["state", "cancelled_by", "cancelled_at"])
    _record_action(Action.CANCEL_REFUND, refund, actor, source, reason)
    return refund


def _lock(payment_id: UUID) -> None:
    """Lock the payment, as a move does: its refunds are read and written under this lock only."""
    Payment.objects.select_for_update(of=("self",)).get(pk=payment_id)


def _locked_proposal(refund_id: int, *, or_approved: bool = False) -> Refund:
    """Read a proposed refund again under its payment's lock. Raises: NotAllowedError `not_proposed`."""
    refund = locked(refund_id)
    if refund.state != State.PROPOSED and not (or_approved and refund.state == State.APPROVED):
        message = _("This refund does not wait for a second person: it is recorded or cancelled.")
        raise NotAllowedError("not_proposed", message, payment_id=refund.payment_id)
    return refund


def locked(refund_id: int) -> Refund:
    """Read a refund under its payment's lock. Call it in a transaction."""
    _lock(Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id))
    return Refund.objects.get(pk=refund_id)


def refuse_unapproved(refund: Refund, actor: str) -> None:
    """Refuse a second person who is the first one, and more than FeexPay took. Call it under the payment's lock.

    Raises: NotAllowedError `same_person`, `too_much`.
    """
    if refund.proposed_by == actor:
        message = _("You proposed this yourself: a second person must approve it.")
        raise NotAllowedError("same_person", message, payment_id=refund.payment_id)
    _refuse_too_much(charge_of(refund.payment_id, refund.incident_id), 0)  # the refund is in the sum


def refuse_open_payout(refund: Refund) -> None:
    """Refuse while a payout of the refund may have paid it. Call it under the payment's lock.

    Raises: NotAllowedError `payout_open`; `payout_failed_lately` shortly after FeexPay reported a failure, because a
    few failures turn into a success.
    """
    if Payout.objects.filter(refund=refund).exclude(state=Payout.State.FAILED).exists():
        message = _("A payout of this refund may have paid it. Wait for its outcome, or close it first.")
        raise NotAllowedError("payout_open", message, payment_id=refund.payment_id)
    since = conf.now() - FAILURE_IS_SURE_AFTER
    if Payout.objects.filter(refund=refund, gateway_reference__isnull=False, ended_at__gt=since).exists():
        message = _("FeexPay has just reported that the payout failed. Wait ten minutes: it is asked again.")
        raise NotAllowedError("payout_failed_lately", message, payment_id=refund.payment_id)
    if Payout.objects.filter(refund=refund, paid_after_failure_at__isnull=False).exists():
        message = _("FeexPay says now that a failed payout of this refund was paid. Look into it first.")
        raise NotAllowedError("payout_open", message, payment_id=refund.payment_id)


def mark_approved(refund: Refund, actor: str, at: datetime) -> None:
    """Write the second person of a refund whose payout will be sent. Call it under the payment's lock."""
    refund.state, refund.approved_by, refund.approved_at = State.APPROVED, actor, at
    refund.save(update_fields=["state", "approved_by", "approved_at"])


def mark_paid_out(refund_id: int, outside_reference: str, at: datetime) -> None:
    """Record an approved refund once its payout was paid. Call it under the payment's lock.

    Changes: Refund, OutboxMessage.
    """
    refund = Refund.objects.get(pk=refund_id)
    refund.state, refund.event_id, refund.recorded_at = State.RECORDED, uuid.uuid4(), at
    refund.outside_reference = outside_reference
    refund.save(update_fields=["state", "event_id", "recorded_at", "outside_reference"])
    _announce(refund, at)


def _refuse_too_much(charge: RefundableCharge, amount: int) -> None:
    if amount <= charge.left:
        return
    message = _("FeexPay took %(taken)s for this charge, and %(left)s of it can still be refunded.") % {
        "taken": money.show(charge.taken, charge.currency),
        "left": money.show(max(0, charge.left), charge.currency),
    }
    raise NotAllowedError("too_much", message, payment_id=charge.attempt.payment_id)


def _announce(refund: Refund, at: datetime) -> None:
    """Queue the signal of a recorded refund, in the transaction that recorded it."""
    assert refund.event_id is not None  # noqa: S101 -- written with the state
    OutboxMessage.objects.create(
        event_id=refund.event_id,
        payment_id=refund.payment_id,
        signal=OutboxMessage.Signal.REFUNDED,
        next_delivery_at=at,
        created_at=at,
    )


def _record_action(action: staff_actions.Action, refund: Refund, actor: str, source: Source, reason: str) -> None:
    detail = {"amount": refund.amount, "currency": refund.currency, "way": refund.way, "state": refund.state}
    staff_actions.record(action, actor=actor, source=source, target=refund, reason=reason, detail=detail)


# --- the input -----------------------------------------------------------------------------------------


def _checked(amount: int, way: str, outside_reference: str, reason: str) -> tuple[Way, str, str]:
    if type(amount) is not int or amount <= 0:
        raise invalid("amount", "invalid", _("The amount is a whole number above 0."))
    try:
        chosen = Way(way)
    except ValueError:
        raise invalid("way", "invalid", _("Choose how the money went back.")) from None
    reference = "" if chosen is Way.PAYOUT else outside_reference.strip()  # FeexPay will give one
    if chosen in WAYS_WITH_REFERENCE and not reference:
        text = _("Write the reference of the payout: FeexPay or the operator shows it.")
        raise invalid("outside_reference", "required", text)
    if len(reference) > LONGEST_REFERENCE or "\0" in reference:
        text = _("At most %(most)d characters.") % {"most": LONGEST_REFERENCE}
        raise invalid("outside_reference", "invalid", text)
    return chosen, reference, checked_reason(reason)
