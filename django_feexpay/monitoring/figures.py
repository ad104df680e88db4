"""The figures of the dashboard: sums of the daily totals over a period and the period before, and what is open now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, F, Q, Sum

from django_feexpay import cache_state
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import DailyTotal, Payment, WebhookDelivery
from django_feexpay.payments import daily_totals, shop_days
from django_feexpay.payments.daily_totals import BOUNDS
from django_feexpay.payments.shop_days import A_DAY

#: Days of each period that the dashboard offers.
PERIODS = (1, 7, 30)

#: Upper bounds of the ages of open payments; the last class has none.
AGES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(days=1))

_DELIVERIES_READ = 500
_USERS_SHOWN = 10
#: Seconds for each day of the period.
_USERS_CACHED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of the shop's time zone, both included; the last one is today."""

    first: date
    last: date

    @property
    def starts_at(self) -> datetime:
        return shop_days.start_of(self.first)

    @property
    def ends_at(self) -> datetime:
        return shop_days.start_of(self.last + A_DAY)

    @property
    def days(self) -> list[date]:
        return [self.first + number * A_DAY for number in range((self.last - self.first).days + 1)]

    def before(self) -> Period:
        """The period of the same length that ends the day before."""
        length = self.last - self.first + A_DAY
        return Period(self.first - length, self.last - length)


@dataclass(slots=True)
class Sums:
    """Daily totals added up. `amounts` and `fees`: by currency."""

    started: int = 0
    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    amounts: Counter[str] = field(default_factory=Counter)
    fees: Counter[str] = field(default_factory=Counter)
    settle_counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, row: DailyTotal) -> None:
        self.started += row.started
        self.succeeded += row.succeeded
        self.failed += row.failed
        self.expired += row.expired
        if row.succeeded:
            self.amounts[row.currency] += row.amount
            self.fees[row.currency] += row.fee
        self.settle_counts = [one + other for one, other in zip(self.settle_counts, row.settle_counts, strict=True)]
        self.reasons.update(row.reasons)

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.expired

    @property
    def percent(self) -> int | None:
        """The success rate, rounded down; None without a payment that ended."""
        return 100 * self.succeeded // self.ended if self.ended else None

    def settled_within(self, share: float) -> int | None:
        """The seconds within which this share of the successful payments was credited, as an upper bound."""
        return daily_totals.quantile(self.settle_counts, share)


@dataclass(frozen=True, slots=True)
class Figures:
    """The sums of a period, of the one before, and of each day and provider of the period."""

    now: Sums
    before: Sums
    by_day: Mapping[date, Sums]
    by_provider: Mapping[str, Sums]


def period_of(days: int, now: datetime) -> Period:
    """The last `days` days, today included."""
    today = shop_days.day_of(now)
    return Period(today - (days - 1) * A_DAY, today)


def read(period: Period, provider: str) -> Figures:
    """One statement. `provider`: a code, "" for all."""
    before = period.before()
    rows = DailyTotal.objects.filter(day__range=(before.first, period.last))
    if provider:
        rows = rows.filter(provider=provider)
    figures = Figures(Sums(), Sums(), {day: Sums() for day in period.days}, {})
    by_provider: dict[str, Sums] = {}
    for row in rows:
        if row.day < period.first:
            figures.before.add(row)
            continue
        for sums in (figures.now, figures.by_day[row.day], by_provider.setdefault(row.provider_id, Sums())):
            sums.add(row)
    return Figures(figures.now, figures.before, figures.by_day, by_provider)


def open_by_age(now: datetime, provider: str) -> list[tuple[timedelta | None, timedelta | None, int]]:
    """The open payments by age: from, up to (None: no bound), and how many. One statement."""
    bounds = [(None, AGES[0]), *zip(AGES, AGES[1:], strict=False), (AGES[-1], None)]
    conditions = {f"class_{number}": _aged(now, *pair) for number, pair in enumerate(bounds)}
    rows = Payment.objects.filter(status__in=sorted(LIVE))
    if provider:
        rows = rows.filter(provider=provider)
    counted = rows.order_by().aggregate(**{name: Count("pk", filter=aged) for name, aged in conditions.items()})
    return [(*pair, counted[f"class_{number}"]) for number, pair in enumerate(bounds)]


def _aged(now: datetime, above: timedelta | None, upto: timedelta | None) -> Q:
    aged = Q() if above is None else Q(created_at__lt=now - above)
    return aged if upto is None else aged & Q(created_at__gte=now - upto)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """How long it took from each of the newest deliveries until its payment was settled.

    Only deliveries since `since` count. `unmatched`: those about no payment.
    """

    since: datetime
    count: int
    unmatched: int
    lag_seconds: list[float]


def webhooks(now: datetime) -> Webhooks:
    """The deliveries of the last day. Two statements."""
    since = now - A_DAY
    rows = WebhookDelivery.objects.filter(received_at__gte=since).order_by()
    counted = rows.aggregate(count=Count("pk"), unmatched=Count("pk", filter=Q(attempt=None, payout=None)))
    settled = rows.filter(attempt__settled_at__gte=F("received_at")).order_by("-received_at")
    lags = settled.values_list(F("attempt__settled_at") - F("received_at"), flat=True)[:_DELIVERIES_READ]
    return Webhooks(since, counted["count"], counted["unmatched"], sorted(lag.total_seconds() for lag in lags))


def share_of(numbers: list[float], share: float) -> float | None:
    """The number within which this share of the sorted numbers lies; None without numbers."""
    return numbers[min(len(numbers) - 1, int(share * len(numbers)))] if numbers else None


def top_users(period: Period, provider: str) -> list[dict[str, Any]]:
    """The users whose successful payments of the period add up to the most, by currency.

    It reads every payment of the period, which takes longer than the rest of the page. So the result is cached, for a
    minute per day of the period: the longer the period, the less does a payment change. Two statements, or none.
    """
    name = f"top_users:{period.first}:{period.last}:{provider}"
    found: list[dict[str, Any]] | None = cache_state.read([name]).get(name)
    if found is None:
        found = _read_top_users(period, provider)
        cache_state.put(name, found, _USERS_CACHED_SECONDS * len(period.days))
    return found


def _read_top_users(period: Period, provider: str) -> list[dict[str, Any]]:
    rows = Payment.objects.filter(
        status=Status.SUCCESSFUL, created_at__gte=period.starts_at, created_at__lt=period.ends_at, user__isnull=False
    )
    if provider:
        rows = rows.filter(provider=provider)
    counted = rows.order_by().values("user", "charged_currency").annotate(count=Count("pk"), sum=Sum("charged_amount"))
    top = [dict(row) for row in counted.order_by("-sum", "user")[:_USERS_SHOWN]]
    users = get_user_model()._default_manager.in_bulk(
        [row["user"] for row in top]
    )  # a join would read a user per payment
    return [row | {"name": users[row["user"]].get_username()} for row in top]
