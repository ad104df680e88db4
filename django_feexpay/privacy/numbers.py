"""Erase the numbers and the details of payers as soon as they are no longer needed.

Names, e-mail address and code are erased when FeexPay has them, in the same update (`payments.sending`); what a crash
left behind is erased here. The number is kept for a while after the payment has ended, so that a payer who tries again
need not type it again. A payout needs it too. After that only its keyed hash and its mask are left.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import PublicStatus, statuses_of
from django_feexpay.models import LIVE_PAYOUTS, Attempt, Incident, Payout, Refund
from django_feexpay.privacy.batches import Stop, StoppedError, in_batches

_ENDED = [*statuses_of(PublicStatus.SUCCESSFUL), *statuses_of(PublicStatus.FAILED)]
#: Details are erased with the answer of FeexPay. A transaction that is just writing it is not disturbed.
_DETAILS_AFTER = timedelta(minutes=5)


def with_number(now: datetime) -> QuerySet[Attempt]:
    """The attempts that ended so long ago that their number is erased once it is `unneeded`."""
    ended = Attempt.objects.filter(
        msisdn_sealed__isnull=False, settled_at__lte=now - feexpay.retention["numbers"], status__in=_ENDED
    )
    return ended.order_by("settled_at")


def unneeded(attempts: QuerySet[Attempt]) -> QuerySet[Attempt]:
    """The attempts among these whose number is no longer needed.

    It is needed while a refund of the attempt waits for its payout. If payouts are switched on, it is also needed while
    an incident of the attempt is open: its money may go back by a payout.
    """
    waiting = Refund.objects.filter(
        attempt=OuterRef("pk"), way=Refund.Way.PAYOUT, state__in=[Refund.State.PROPOSED, Refund.State.APPROVED]
    )
    rows = attempts.exclude(Exists(waiting))
    if feexpay.payouts:
        rows = rows.exclude(Exists(Incident.objects.filter(attempt=OuterRef("pk"), closed_at=None)))
    return rows


def with_details(now: datetime) -> QuerySet[Attempt]:
    """The attempts that ended and still have names, an e-mail address or a code."""
    left = Attempt.objects.filter(payer_sealed__isnull=False, status__in=_ENDED, updated_at__lte=now - _DETAILS_AFTER)
    return left.order_by("id")


def of_ended_payouts(now: datetime) -> QuerySet[Payout]:
    """The payouts that ended and still hold the number."""
    return Payout.objects.filter(~Q(state__in=sorted(LIVE_PAYOUTS)), msisdn_sealed__isnull=False).order_by("id")


def erase_number(rows: QuerySet[Any]) -> int:
    return rows.update(msisdn_sealed=None)


def erase_details(rows: QuerySet[Attempt]) -> int:
    return rows.update(payer_sealed=None)


def erase_unneeded(stop: Stop = lambda: False) -> int:
    """Erase the numbers and details that are no longer needed; return how many rows.

    The background work calls it each minute.
    Changes: Attempt. Safe to repeat: yes, also concurrently. After `stop` the next call continues.
    """
    now, count = conf.now(), 0
    try:
        count += in_batches(with_number(now), erase_number, stop, unneeded=unneeded)
        return count + in_batches(with_details(now), erase_details, stop)
    except StoppedError as stopped:
        return count + stopped.done
