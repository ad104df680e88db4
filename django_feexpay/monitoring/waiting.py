"""What waits for a person, with the money in it: one statement for each kind of record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Discrepancy, Incident, OutboxMessage, Payment, ReviewProposal
from django_feexpay.monitoring.health import MESSAGE_LATE

#: FeexPay and the operators answer within a minute or two; the payer's own time is over after this, too.
OPEN_LONG = timedelta(minutes=15)

OPEN_STATUSES = sorted(LIVE)


@dataclass(slots=True)
class Waiting:
    """How many, and the sum of each currency."""

    count: int = 0
    sums: dict[str, int] = field(default_factory=dict)

    def add(self, count: int, currency: str, amount: int | None) -> None:
        self.count += count
        if currency and amount:
            self.sums[currency] = self.sums.get(currency, 0) + amount


def payments(now: datetime) -> tuple[Waiting, Waiting]:
    """The payments under review, and those open for longer than OPEN_LONG."""
    review, late = Q(status=Status.REVIEW), Q(status__in=OPEN_STATUSES, created_at__lt=now - OPEN_LONG)
    rows = Payment.objects.filter(review | late).order_by().values("charged_currency")
    counted = rows.annotate(
        reviews=Count("pk", filter=review),
        review_sum=Sum("charged_amount", filter=review),
        late=Count("pk", filter=late),
        late_sum=Sum("charged_amount", filter=late),
    )
    reviews, too_long = Waiting(), Waiting()
    for row in counted:
        reviews.add(row["reviews"], row["charged_currency"], row["review_sum"])
        too_long.add(row["late"], row["charged_currency"], row["late_sum"])
    return reviews, too_long


def incidents() -> Mapping[str, Waiting]:
    """The open incidents of each kind."""
    rows = Incident.objects.filter(closed_at__isnull=True).order_by().values("kind", "currency")
    found = {kind: Waiting() for kind in Incident.Kind.values}
    for row in rows.annotate(count=Count("pk"), sum=Sum("amount")):
        found[row["kind"]].add(row["count"], row["currency"], row["sum"])
    return found


def differences() -> Waiting:
    """The open differences with money at stake: the amount that FeexPay names, else ours."""
    amount = Coalesce(F("their_amount"), F("our_amount"))
    return _summed(
        Discrepancy.objects.at_stake().order_by().values("currency").annotate(count=Count("pk"), sum=Sum(amount))
    )


def proposals() -> int:
    """Proposed decisions that wait for a second person."""
    return ReviewProposal.objects.filter(outcome=ReviewProposal.Outcome.OPEN).count()


def signals(now: datetime) -> int:
    """Signals that a receiver should have taken by now."""
    return OutboxMessage.objects.filter(next_delivery_at__isnull=False, created_at__lt=now - MESSAGE_LATE).count()


def _summed(rows: Iterable[Mapping[str, Any]]) -> Waiting:
    found = Waiting()
    for row in rows:
        found.add(row["count"], row["currency"], row["sum"])
    return found
