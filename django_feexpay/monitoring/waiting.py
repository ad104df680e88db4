"""What waits for a person, with the money in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Alert, Discrepancy, Incident, OutboxMessage, Payment, Payout, Refund, ReviewProposal
from django_feexpay.monitoring import facts

#: FeexPay and the operators answer within a minute or two, and by then the payer's own time is over as well.
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


def records(models: Collection[str]) -> Mapping[str, Waiting]:
    """What waits of these kinds of records, by kind; of incidents by their own kind. One statement for all of them."""
    if not models:
        return {}
    first, *others = (_ROWS[model]().order_by().values_list("what", "currency", "count", "sum") for model in models)
    found: dict[str, Waiting] = defaultdict(Waiting)
    for what, currency, count, amount in first.union(*others, all=True).order_by():
        found[what].add(count, currency, amount)
    return found


def _incidents() -> QuerySet[Any]:
    """The open incidents."""
    rows = Incident.objects.filter(closed_at__isnull=True).annotate(what=F("kind"))
    return rows.values("what", "currency").annotate(count=Count("pk"), sum=Sum("amount"))


def _differences() -> QuerySet[Any]:
    """The open differences with money at stake: the amount that FeexPay names, else ours."""
    return _summed("discrepancy", Discrepancy.objects.at_stake(), Coalesce(F("their_amount"), F("our_amount")))


def _refunds() -> QuerySet[Any]:
    """The refunds that wait for a second person."""
    return _summed("refund", Refund.objects.filter(state=Refund.State.PROPOSED), F("amount"))


def _payouts() -> QuerySet[Any]:
    """The payouts that may have been paid: staff must look for them in FeexPay's dashboard."""
    return _summed("payout", Payout.objects.filter(state=Payout.State.UNKNOWN), F("amount"))


def _proposals() -> QuerySet[Any]:
    """The proposed decisions that wait for a second person, without a sum."""
    rows = ReviewProposal.objects.filter(outcome=ReviewProposal.Outcome.OPEN).annotate(currency=Value(""))
    return _summed("reviewproposal", rows, Value(0))


def _summed(what: str, rows: QuerySet[Any], amount: Any) -> QuerySet[Any]:
    named = rows.annotate(what=Value(what)).values("what", "currency")
    counted: QuerySet[Any] = named.annotate(count=Count("pk"), sum=Sum(amount))
    return counted


_ROWS: Mapping[str, Callable[[], QuerySet[Any]]] = {
    "reviewproposal": _proposals,
    "incident": _incidents,
    "refund": _refunds,
    "payout": _payouts,
    "discrepancy": _differences,
}
RECORDS = tuple(_ROWS)


def signals(now: datetime) -> int:
    """Signals that a receiver should have taken by now."""
    late = now - facts.within("signals_late")
    return OutboxMessage.objects.filter(next_delivery_at__isnull=False, created_at__lt=late).count()


def alerts() -> int:
    """The health facts in trouble of which an alert is open."""
    return Alert.objects.filter(closed_at__isnull=True).count()
