"""What somebody has to put right by hand: opened by the house rules, closed by staff."""

from __future__ import annotations

from datetime import datetime

from django_feexpay import conf
from django_feexpay.models import Attempt, Incident


def open_once(kind: Incident.Kind, attempt: Attempt, at: datetime) -> bool:
    """Open an incident about an attempt, unless one of this kind was; True if this call did.

    Changes: Incident. Safe to repeat: yes.
    """
    _, opened = Incident.objects.get_or_create(
        kind=kind, attempt=attempt, defaults={"payment_id": attempt.payment_id, "opened_at": at}
    )
    return opened


def close(incident_id: int, note: str) -> bool:
    """Close an incident with what was done about it; True if this call did: the first note stands.

    Changes: Incident. Safe to repeat: yes.
    """
    still_open = Incident.objects.filter(pk=incident_id, closed_at=None)
    return bool(still_open.update(closed_at=conf.now(), note=note))
