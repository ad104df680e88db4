"""What staff have to put right by hand: opened here, told to the host once, closed by staff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from django_feexpay import conf
from django_feexpay.models import Attempt, Discrepancy, Incident, OutboxMessage

#: The signal that tells the host of an incident: one for each, written in the incident's transaction.
SIGNALS: Mapping[Incident.Kind, OutboxMessage.Signal] = {
    Incident.Kind.DUPLICATE_CHARGE: OutboxMessage.Signal.DUPLICATE_CHARGE,
    Incident.Kind.REVERSED_AFTER_CREDIT: OutboxMessage.Signal.REVERSED,
}


@dataclass(frozen=True, slots=True)
class Charge:
    """The charge at FeexPay that an incident is about. amount: in the minor unit of `currency`, None when FeexPay
    named none. credited_reference: of the charge that was credited.
    """

    reference: str
    amount: int | None
    currency: str
    credited_reference: str


@transaction.atomic
def open_once(kind: Incident.Kind, attempt: Attempt, charge: Charge, at: datetime) -> bool:
    """Open an incident about a charge and write its signal, unless this charge has one of this kind; True if this
    call did.

    Changes: Incident, OutboxMessage. Safe to repeat: yes, also at the same time: a constraint lets one through.
    """
    _, opened = Incident.objects.get_or_create(
        kind=kind,
        attempt=attempt,
        gateway_reference__iexact=charge.reference,
        defaults={
            "payment_id": attempt.payment_id,
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
    return opened


@transaction.atomic
def close(incident_id: int, note: str) -> bool:
    """Close an incident, and the differences about the same charge, with what was done about it; True if this call
    did: the first note stands.

    Changes: Incident, Discrepancy. Safe to repeat: yes.
    """
    now = conf.now()
    still_open = Incident.objects.filter(pk=incident_id, closed_at=None)
    if not still_open.update(closed_at=now, note=note):
        return False
    incident = Incident.objects.get(pk=incident_id)
    differences = Discrepancy.objects.still_open().filter(_about_charge(incident), attempt=incident.attempt_id)
    differences.update(state=Discrepancy.State.CLOSED, ended_at=now, note=note)
    return True


def _about_charge(incident: Incident) -> Q:
    """The differences that say of a charge what its incident says."""
    same = Q(gateway_reference__iexact=incident.gateway_reference)
    if incident.kind == Incident.Kind.DUPLICATE_CHARGE:
        return same & Q(kind=Discrepancy.Kind.SECOND_ROW)
    return same & Q(kind=Discrepancy.Kind.STATUS, outcome=Discrepancy.Outcome.INCIDENT)
