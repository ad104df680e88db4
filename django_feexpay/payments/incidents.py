"""Incidents: charges that staff must correct, announced to the host once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from django_feexpay import conf
from django_feexpay.models import Attempt, Discrepancy, Incident, OutboxMessage

#: The signal that announces an incident to the host. Its message is written in the incident's transaction.
SIGNALS: Mapping[Incident.Kind, OutboxMessage.Signal] = {
    Incident.Kind.DUPLICATE_CHARGE: OutboxMessage.Signal.DUPLICATE_CHARGE,
    Incident.Kind.REVERSED_AFTER_CREDIT: OutboxMessage.Signal.REVERSED,
}


@dataclass(frozen=True, slots=True)
class Charge:
    """The charge at FeexPay that an incident is about.

    amount: in the minor unit of `currency`; None: FeexPay gave none. credited_reference: of the credited charge.
    """

    reference: str
    amount: int | None
    currency: str
    credited_reference: str


@transaction.atomic
def open_once(kind: Incident.Kind, attempt: Attempt, charge: Charge, at: datetime) -> bool:
    """Open an incident about a charge and queue its signal, once per charge and kind.

    Returns True if this call opened it.
    Changes: Incident, OutboxMessage. Safe to repeat: yes, also concurrently: a unique constraint lets one call through.
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
    """Close an incident, and the discrepancies about its charge, with staff's note.

    Returns True if this call closed it. Changes: Incident, Discrepancy. Safe to repeat: yes, the first note stays.
    """
    now = conf.now()
    still_open = Incident.objects.filter(pk=incident_id, closed_at=None)
    if not still_open.update(closed_at=now, note=note):
        return False
    incident = Incident.objects.get(pk=incident_id)
    about_charge = Q(gateway_reference__iexact=incident.gateway_reference, attempt=incident.attempt_id)
    if incident.kind == Incident.Kind.DUPLICATE_CHARGE:
        about_charge &= Q(kind=Discrepancy.Kind.SECOND_ROW)
    else:
        about_charge &= Q(kind=Discrepancy.Kind.STATUS, outcome=Discrepancy.Outcome.INCIDENT)
    open_discrepancies = Discrepancy.objects.still_open().filter(about_charge)
    open_discrepancies.update(state=Discrepancy.State.CLOSED, ended_at=now, note=note)
    return True
