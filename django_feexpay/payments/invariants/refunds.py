"""Invariants I20 to I22: refunds, and how incidents ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from django_feexpay.models import Credit, Incident, OutboxMessage, Refund
from django_feexpay.models.purge import messages_kept_since
from django_feexpay.payments import refunds
from django_feexpay.payments.invariants.reading import ids_of

_State = Refund.State


def refunds_never_exceed_what_was_taken() -> Iterator[str]:
    """I20: the refunds of a charge come to no more than FeexPay took for it, and are in its currency.

    A refund is of the credited attempt, or of the second charge of its incident. Refunds that wait for a second person
    count, cancelled ones do not.
    """
    kept = Refund.objects.exclude(state=_State.CANCELLED).order_by()
    credited, second = kept.filter(credited=True), kept.filter(credited=False)
    for row in credited.values("attempt", "attempt__credit__amount").annotate(refunded=Sum("amount")):
        taken = row["attempt__credit__amount"]
        if taken is None:
            yield f"attempt {row['attempt']}: refunded as credited, and it has no credit"
        elif row["refunded"] > taken:
            yield f"attempt {row['attempt']}: refunded {row['refunded']}, credited {taken}"
    of_incident = second.values("incident").annotate(
        refunded=Sum("amount"), taken=Coalesce("incident__amount", "incident__attempt__amount")
    )
    for too_much in of_incident.filter(refunded__gt=F("taken")).order_by("incident"):
        incident, refunded, taken = too_much["incident"], too_much["refunded"], too_much["taken"]
        yield f"incident {incident}: refunded {refunded}, FeexPay took {taken}"
    apart = ~Q(attempt__payment=F("payment")) | ~Q(currency=F("payment__charged_currency"))
    apart |= Q(incident__isnull=False) & ~Q(incident__attempt=F("attempt"))
    for pk in ids_of(Refund.objects.filter(apart)):
        yield f"refund {pk}: its attempt, incident and currency are not those of its payment"


def closed_incident_is_refunded_or_explained() -> Iterator[str]:
    """I21: a closed incident says how it ended; one that ended by refunds is covered by recorded refunds."""
    closed = Incident.objects.filter(closed_at__isnull=False)
    unexplained = Q(resolution="") | Q(note="")
    for pk in ids_of(closed.filter(unexplained)):
        yield f"incident {pk}: closed without a reason"
    without_person = closed.filter(closed_by="").exclude(resolution=Incident.Resolution.BEFORE_REFUNDS)
    for pk in ids_of(without_person.exclude(unexplained)):
        yield f"incident {pk}: closed without a person"
    for pk in ids_of(Incident.objects.filter(closed_at=None).exclude(resolution="")):
        yield f"incident {pk}: open, and it says how it ended"
    by_refund = closed.filter(resolution=Incident.Resolution.REFUNDED).select_related("attempt").order_by("pk")
    for incident in by_refund.iterator():
        charge = refunds.charge_of(incident.payment_id, incident.pk)
        if charge.owed > 0:
            yield f"incident {incident.pk}: closed as refunded, {charge.owed} of {charge.taken} are missing"


def recorded_refund_is_approved_and_announced_once() -> Iterator[str]:
    """I22: a recorded refund was approved as its limit required, and has exactly one signal.

    Above the limit of its day a second person approved it. The limit is for all refunds of a charge together, in the
    order in which they were proposed. The signal may be missing only if the purge deleted it. The money of a released
    order went back.
    """
    recorded = Refund.objects.filter(state=_State.RECORDED)
    for pk, total, limit in _recorded_by_one_person(recorded):
        yield f"refund {pk}: {total} is above {limit}, and one person recorded it"
    for pk in ids_of(recorded.filter(Q(approved_by=F("proposed_by")) | Q(proposed_by="") | Q(reason=""))):
        yield f"refund {pk}: without a person or a reason, or approved by the person who proposed it"
    of_signal = Q(payment__outbox__signal=OutboxMessage.Signal.REFUNDED)
    counted = recorded.annotate(
        told=Count("payment__outbox", filter=of_signal & Q(payment__outbox__event_id=F("event_id")))
    )
    kept = counted.filter(recorded_at__gt=messages_kept_since())
    for pk, count in kept.exclude(told=1).order_by("pk").values_list("pk", "told"):
        yield f"refund {pk}: announced {count} times"
    known = Refund.objects.filter(event_id=OuterRef("event_id"), payment=OuterRef("payment"), state=_State.RECORDED)
    for pk in ids_of(OutboxMessage.objects.filter(signal=OutboxMessage.Signal.REFUNDED).exclude(Exists(known))):
        yield f"message {pk}: it announces a refund that is not recorded"
    for pk in ids_of(_released_too_early()):
        yield f"payment {pk}: its order was released, and its money is not back"


def _recorded_by_one_person(recorded: QuerySet[Refund]) -> Iterator[tuple[int, int, int]]:
    """Id of a refund, sum of the charge's refunds up to it, and the limit that the sum exceeds."""
    alone = recorded.filter(approved_by="", two_person_above__isnull=False).order_by("pk")
    for refund in alone.iterator():
        same_charge = {"attempt": refund.attempt_id, "credited": True}
        if not refund.credited:
            same_charge = {"incident": refund.incident_id, "credited": False}
        earlier = Refund.objects.filter(pk__lte=refund.pk, **same_charge).exclude(state=_State.CANCELLED)
        total: int = earlier.aggregate(total=Sum("amount", default=0))["total"]
        assert refund.two_person_above is not None  # noqa: S101 -- filtered above
        if total > refund.two_person_above:
            yield refund.pk, total, refund.two_person_above


def _released_too_early() -> QuerySet[Any]:
    """Released payments whose credit was neither refunded nor taken back by FeexPay."""
    refunded = Sum(
        "attempt__refunds__amount",
        filter=Q(attempt__refunds__credited=True, attempt__refunds__state=_State.RECORDED),
        default=0,
    )
    reversals = Incident.objects.filter(attempt=OuterRef("attempt"), kind=Incident.Kind.REVERSED_AFTER_CREDIT)
    taken_back = reversals.exclude(resolution=Incident.Resolution.NO_MONEY_LOST)
    credits_ = Credit.objects.filter(payment__released_at__isnull=False).exclude(Exists(taken_back))
    return credits_.annotate(refunded=refunded).filter(refunded__lt=F("amount"))
