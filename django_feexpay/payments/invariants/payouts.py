"""Invariant I24: payouts."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, F, Q

from django_feexpay.models import Incident, Payout, PayoutState, Refund
from django_feexpay.payments.invariants.reading import ids_of


def payout_pays_its_refund_once_by_two_persons() -> Iterator[str]:
    """I24: a refund by payout is recorded if and only if one payout paid it, with its amount, approved by another
    person than the one who proposed it. A refund that ended otherwise has no payout that may pay it. The incident of an
    undone payout names a payout that was paid.
    """
    by_payout = Refund.objects.filter(way=Refund.Way.PAYOUT)
    counted = by_payout.annotate(
        paid=Count("payouts", filter=Q(payouts__state=PayoutState.SUCCESSFUL)),
        unsure=Count("payouts", filter=~Q(payouts__state__in=[PayoutState.SUCCESSFUL, PayoutState.FAILED])),
    )
    recorded, approved = Refund.State.RECORDED, Refund.State.APPROVED
    for pk in ids_of(counted.filter(Q(state=recorded) & ~Q(paid=1) | ~Q(state=recorded) & Q(paid__gt=0))):
        yield f"refund {pk}: recorded without the one payout that paid it, or paid and not recorded"
    for pk in ids_of(counted.filter(unsure__gt=0).exclude(state=approved)):
        yield f"refund {pk}: a payout may still pay it, and it is not waiting for one"
    for pk in ids_of(counted.filter(unsure__gt=0, paid__gt=0) | counted.filter(unsure__gt=1)):
        yield f"refund {pk}: more than one payout may pay it"
    other = ~Q(amount=F("refund__amount")) | ~Q(currency=F("refund__currency")) | ~Q(payment=F("refund__payment"))
    for pk in ids_of(Payout.objects.filter(other | ~Q(refund__way=Refund.Way.PAYOUT))):
        yield f"payout {pk}: its amount, currency or payment is not its refund's"
    persons = Q(approved_by=F("proposed_by")) | Q(proposed_by="") | Q(approved_by="")
    for pk in ids_of(Payout.objects.filter(persons | ~Q(proposed_by=F("refund__proposed_by")))):
        yield f"payout {pk}: not proposed and approved by two persons"
    unproven = Q(state=PayoutState.SUCCESSFUL, gateway_reference__isnull=True) | ~Q(closed_by="") & Q(evidence="")
    for pk in ids_of(Payout.objects.filter(unproven)):
        yield f"payout {pk}: paid without a reference, or closed without evidence"
    for pk in ids_of(Payout.objects.filter(paid_after_failure_at__isnull=False).exclude(state=PayoutState.SUCCESSFUL)):
        yield f"payout {pk}: FeexPay paid it after it reported its failure; the refund does not count it"
    undone = Incident.objects.filter(kind=Incident.Kind.PAYOUT_UNDONE)
    of_paid = Q(payout__state=PayoutState.SUCCESSFUL, payout__payment=F("payment"), payout__amount=F("amount"))
    for pk in ids_of(undone.exclude(of_paid)):
        yield f"incident {pk}: about an undone payout, and it has no paid payout of its payment and amount"
