"""Incidents: charges and payouts that staff must put right, announced to the host once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.catalogue import money
from django_feexpay.models import Attempt, Discrepancy, Incident, OutboxMessage, Payment, PaymentEvent, Payout
from django_feexpay.payments import refunds, staff_actions
from django_feexpay.payments.durability import durable
from django_feexpay.payments.errors import NotAllowedError, invalid

#: The signal that announces an incident to the host. Its message is written in the incident's transaction.
SIGNALS: Mapping[Incident.Kind, OutboxMessage.Signal] = {
    Incident.Kind.DUPLICATE_CHARGE: OutboxMessage.Signal.DUPLICATE_CHARGE,
    Incident.Kind.REVERSED_AFTER_CREDIT: OutboxMessage.Signal.REVERSED,
    Incident.Kind.PAYOUT_UNDONE: OutboxMessage.Signal.PAYOUT_UNDONE,
}

_Resolution = Incident.Resolution
#: How staff may end an incident of each kind.
RESOLUTIONS: Mapping[Incident.Kind, tuple[Incident.Resolution, ...]] = {
    Incident.Kind.DUPLICATE_CHARGE: (
        _Resolution.REFUNDED,
        _Resolution.OTHER_REFUNDED,
        _Resolution.KEPT_AS_BALANCE,
        _Resolution.TAKEN_BACK,
        _Resolution.NO_MONEY_LOST,
    ),
    Incident.Kind.REVERSED_AFTER_CREDIT: (
        _Resolution.REFUNDED,
        _Resolution.GOODS_TAKEN_BACK,
        _Resolution.LOSS_ACCEPTED,
        _Resolution.NO_MONEY_LOST,
    ),
    Incident.Kind.PAYOUT_UNDONE: (
        _Resolution.REFUNDED,
        _Resolution.KEPT_AS_BALANCE,
        _Resolution.NO_MONEY_LOST,
    ),
}

#: FeexPay may confirm these once more after staff found that no money was lost: then they open again.
_OPENED_AGAIN = frozenset({Incident.Kind.REVERSED_AFTER_CREDIT, Incident.Kind.PAYOUT_UNDONE})


@dataclass(frozen=True, slots=True)
class Charge:
    """The charge at FeexPay that an incident is about, or the payout that FeexPay undid.

    amount: in the minor unit of `currency`; None if FeexPay gave none. credited_reference: the reference of the
    credited charge; of a payout, of the charge that it refunded.
    """

    reference: str
    amount: int | None
    currency: str
    credited_reference: str
    payout: Payout | None = None


@transaction.atomic
def open_once(kind: Incident.Kind, attempt: Attempt, charge: Charge, at: datetime) -> bool:
    """Open an incident about a charge and queue its signal, once per charge and kind.

    A reversal or an undone payout that staff closed because no money was lost opens again, without a second signal:
    FeexPay confirms once more that the money is gone.
    Returns True if this call opened it.
    Changes: Incident, OutboxMessage. Safe to repeat: yes, also concurrently: a unique constraint lets one call through.
    """
    incident, opened = Incident.objects.get_or_create(
        kind=kind,
        attempt=attempt,
        gateway_reference__iexact=charge.reference,
        defaults={
            "payment_id": attempt.payment_id,
            "payout": charge.payout,
            "gateway_reference": charge.reference,
            "credited_reference": charge.credited_reference,
            "amount": charge.amount,
            "currency": charge.currency,
            "opened_at": at,
        },
    )
    if opened:
        OutboxMessage.objects.create(
            payment_id=attempt.payment_id, signal=SIGNALS[kind], next_delivery_at=at, created_at=at
        )
    return opened or bool(kind in _OPENED_AGAIN and _open_again(incident))


def _open_again(incident: Incident) -> int:
    """Open a closed incident that no money was lost in; how it was closed stays in the list of staff actions."""
    explained = Incident.objects.filter(pk=incident.pk, resolution=Incident.Resolution.NO_MONEY_LOST)
    return explained.update(closed_at=None, closed_by="", resolution="", note="")


@durable()
def close(incident_id: int, note: str, *, resolution: str, actor: str, source: PaymentEvent.Source) -> bool:
    """Close an incident, and the discrepancies about its charge, with staff's note and how it ended.

    `resolution`: one of `RESOLUTIONS` of its kind; `refunded` only if the recorded refunds cover the charge, and
    `no_money_lost` not for a reversal because of which the order was released. `actor`: the primary key of a user.
    Returns True if this call closed it. Changes: Incident, Discrepancy, StaffAction.
    Raises: NotAllowedError `validation_error`, `not_refunded`, `money_kept`, `refund_waits`.
    Safe to repeat: yes, the first note stays.
    """
    if not note.strip():
        raise invalid("note", "required", _("Write what was done."))
    payment_id = Incident.objects.values_list("payment_id", flat=True).get(pk=incident_id)
    Payment.objects.select_for_update(of=("self",)).get(pk=payment_id)  # refunds are written under this lock
    incident = Incident.objects.get(pk=incident_id)
    if incident.closed_at is not None:
        return False
    _refuse_wrong_resolution(incident, resolution)
    now = conf.now()
    still_open = Incident.objects.filter(pk=incident_id, closed_at=None)
    if not still_open.update(closed_at=now, closed_by=actor, resolution=resolution, note=note):
        return False
    about_charge = Q(gateway_reference__iexact=incident.gateway_reference, attempt=incident.attempt_id)
    if incident.kind != Incident.Kind.REVERSED_AFTER_CREDIT:
        about_charge &= Q(kind=Discrepancy.Kind.SECOND_ROW)
    else:
        about_charge &= Q(kind=Discrepancy.Kind.STATUS, outcome=Discrepancy.Outcome.INCIDENT)
    open_discrepancies = Discrepancy.objects.still_open().filter(about_charge)
    open_discrepancies.update(state=Discrepancy.State.CLOSED, ended_at=now, note=note)
    detail = {"resolution": resolution}
    action = staff_actions.Action.CLOSE_INCIDENT
    staff_actions.record(action, actor=actor, source=source, target=incident, reason=note, detail=detail)
    return True


def _refuse_wrong_resolution(incident: Incident, resolution: str) -> None:
    """Raise NotAllowedError if the incident cannot end in this way."""
    if resolution not in RESOLUTIONS[Incident.Kind(incident.kind)]:
        raise invalid("resolution", "invalid", _("Choose how the incident ended."))
    charge = refunds.charge_of(incident.payment_id, incident.pk)
    if charge.proposed:
        message = _("A refund of this charge waits for a second person: approve or cancel it first.")
        raise NotAllowedError("refund_waits", message, payment_id=incident.payment_id)
    if resolution == Incident.Resolution.REFUNDED and charge.owed > 0:
        message = _("The recorded refunds do not cover this charge: %(owed)s are missing. Record the refund first.")
        owed = money.show(charge.owed, charge.currency)
        raise NotAllowedError("not_refunded", message % {"owed": owed}, payment_id=incident.payment_id)
    is_no_loss = resolution == Incident.Resolution.NO_MONEY_LOST and charge.credited
    if is_no_loss and charge.owed > 0 and incident.payment.released_at is not None:
        message = _("The order was released because this money went back. If the shop has it, record a refund first.")
        raise NotAllowedError("money_kept", message, payment_id=incident.payment_id)
