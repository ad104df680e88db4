"""The statement of a period: what FeexPay took and kept, by provider, currency and day, from our own rows.

Days are those of `shop_days`. A credit is listed on the day it was written. A double charge or a reversal is listed on
the day it was found, because FeexPay's status names no time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import cached_property
from operator import add, attrgetter
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, TruncDate

from django_feexpay.models import Credit, Incident, Provider, Refund
from django_feexpay.payments import shop_days
from django_feexpay.payments.shop_days import A_DAY

#: A longer statement would not fit on a page.
LONGEST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Period:
    """Days of the shop's time zone, both included. Raises: ValueError for none, or more than LONGEST_DAYS."""

    first_day: date
    last_day: date

    def __post_init__(self) -> None:
        if self.first_day > self.last_day:
            raise ValueError("the first day is after the last")
        if (self.last_day - self.first_day).days >= LONGEST_DAYS:
            raise ValueError(f"a statement has at most {LONGEST_DAYS} days")

    @classmethod
    def month_of(cls, day: date) -> Period:
        """The month that this day is in."""
        first = day.replace(day=1)
        return cls(first, (first + 31 * A_DAY).replace(day=1) - A_DAY)

    @classmethod
    def last_month(cls) -> Period:
        return cls.month_of(shop_days.today().replace(day=1) - A_DAY)

    @property
    def start(self) -> datetime:
        return shop_days.start_of(self.first_day)

    @property
    def end(self) -> datetime:
        """The first instant after the period."""
        return shop_days.start_of(self.last_day + A_DAY)


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts and sums. Amounts are in the minor unit of their currency.

    `gross`: credited. `double_charges`: taken by FeexPay and not credited, so owed to payers. `reversals`: credited and
    taken back by FeexPay, unless staff closed it as refunded. `refunds`: recorded refunds, of credits and of double
    charges, less the payouts that FeexPay undid. `fees`: FeexPay's fees on credits and double charges, by the
    provider's percentage when the payment was started.
    """

    credit_count: int = 0
    gross: int = 0
    double_charge_count: int = 0
    double_charges: int = 0
    reversal_count: int = 0
    reversals: int = 0
    fees: int = 0
    refund_count: int = 0
    refunds: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*map(add, _numbers(self), _numbers(other)))

    @property
    def net(self) -> int:
        """What is left: all that FeexPay took, without its fees, what it took back, and what was refunded."""
        return self.gross + self.double_charges - self.reversals - self.fees - self.refunds


# `astuple` copies each number first, which takes much longer.
_numbers = attrgetter(*(field.name for field in fields(Figures)))


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one provider and currency on one day."""

    day: date
    figures: Figures


@dataclass(frozen=True)
class Section:
    """The days of one provider and currency on which money moved, oldest first."""

    provider: Provider
    currency: str
    lines: list[Line]

    @cached_property
    def total(self) -> Figures:
        return sum((line.figures for line in self.lines), Figures())


@dataclass(frozen=True)
class Statement:
    """A period's sections, and beside them the sums of the credit table itself, by currency."""

    period: Period
    sections: list[Section]
    ledger: Mapping[str, int]

    @cached_property
    def totals(self) -> dict[str, Figures]:
        """The figures of each currency."""
        sums: dict[str, Figures] = defaultdict(Figures)
        for section in self.sections:
            sums[section.currency] += section.total
        return dict(sorted(sums.items()))

    @cached_property
    def unreconciled(self) -> dict[str, tuple[int, int]]:
        """The currencies whose gross is not the credit table's sum, each with our gross and the table's sum."""
        gross = {currency: figures.gross for currency, figures in self.totals.items()}
        pairs = {each: (gross.get(each, 0), self.ledger.get(each, 0)) for each in sorted({*gross, *self.ledger})}
        return {currency: pair for currency, pair in pairs.items() if pair[0] != pair[1]}


def make(period: Period, provider: str = "") -> Statement:
    """Compute the statement of a period, of one provider or of all.

    It reads with seven queries, however many payments there are. Safe to repeat: yes, it writes nothing.
    """
    lines: dict[tuple[str, str], dict[date, Figures]] = defaultdict(lambda: defaultdict(Figures))
    for code, currency, day, figures in _moved(period, provider):
        lines[code, currency][day] += figures
    providers = Provider.objects.in_bulk({code for code, _currency in lines})
    sections = [
        Section(providers[code], currency, [Line(day, figures) for day, figures in sorted(days.items())])
        for (code, currency), days in sorted(lines.items())
    ]
    return Statement(period, sections, _ledger(period, provider))


_Moved = tuple[str, str, date, Figures]


def _moved(period: Period, provider: str) -> Iterator[_Moved]:
    """Everything that moved money in the period. A new kind of movement is added here and in Figures."""
    yield from _credits(period, provider)
    yield from _double_charges(period, provider)
    yield from _reversals(period, provider)
    yield from _refunds(period, provider)
    yield from _undone_payouts(period, provider)


def _credits(period: Period, provider: str) -> Iterator[_Moved]:
    rows = _by_day(_of(Credit.objects.all(), provider), "created_at", period)
    sums = rows.annotate(count=Count("pk"), taken=Sum("amount"), fees=Sum("payment__fee"))
    for code, currency, day, count, taken, fees in sums.values_list(*_KEY, "count", "taken", "fees"):
        yield code, currency, day, Figures(credit_count=count, gross=taken, fees=fees)


def _double_charges(period: Period, provider: str) -> Iterator[_Moved]:
    # The second payment of an order is credited too, so its incident is about a charge that is among the credits.
    reference = Coalesce("attempt__gateway_reference", Value(""))
    is_credited = Q(attempt__credit__isnull=False, gateway_reference__iexact=reference)
    incidents = Incident.objects.filter(kind=Incident.Kind.DUPLICATE_CHARGE).exclude(is_credited)
    for code, currency, day, count, taken, fees in _incidents(incidents, period, provider):
        yield code, currency, day, Figures(double_charge_count=count, double_charges=taken, fees=fees)


def _reversals(period: Period, provider: str) -> Iterator[_Moved]:
    # FeexPay's sources do not say that it gives its fee back, so the fee of the credit stays.
    incidents = Incident.objects.filter(kind=Incident.Kind.REVERSED_AFTER_CREDIT)
    # A refund in FeexPay's dashboard shows as a reversal too. One that staff closed as refunded counts as a refund.
    incidents = incidents.exclude(resolution=Incident.Resolution.REFUNDED)
    for code, currency, day, count, taken, _fees in _incidents(incidents, period, provider):
        yield code, currency, day, Figures(reversal_count=count, reversals=taken)


def _refunds(period: Period, provider: str) -> Iterator[_Moved]:
    recorded = _of(Refund.objects.filter(state=Refund.State.RECORDED), provider)
    sums = _by_day(recorded, "recorded_at", period).annotate(count=Count("pk"), paid_back=Sum("amount"))
    for code, currency, day, count, paid_back in sums.values_list(*_KEY, "count", "paid_back"):
        yield code, currency, day, Figures(refund_count=count, refunds=paid_back)


def _undone_payouts(period: Period, provider: str) -> Iterator[_Moved]:
    # The refund of an undone payout stays recorded, so its amount is subtracted on the day FeexPay undid it.
    incidents = Incident.objects.filter(kind=Incident.Kind.PAYOUT_UNDONE)
    incidents = incidents.exclude(resolution=Incident.Resolution.NO_MONEY_LOST)
    for code, currency, day, _count, returned, _fees in _incidents(incidents, period, provider):
        yield code, currency, day, Figures(refunds=-returned)


_KEY = ("payment__provider_id", "statement_currency", "day")


def _incidents(incidents: QuerySet[Incident], period: Period, provider: str) -> Iterable[tuple[Any, ...]]:
    """Provider, currency, day, count, amount and fees of these incidents.

    For an incident without an amount, the amount of its attempt counts.
    """
    rows = _by_day(_of(incidents, provider), "opened_at", period, "payment__charged_currency")
    taken = Sum(Coalesce("amount", "attempt__amount"))
    sums = rows.annotate(count=Count("pk"), taken=taken, fees=Sum("payment__fee"))
    yield from sums.values_list(*_KEY, "count", "taken", "fees")


def _by_day(rows: QuerySet[Any], at: str, period: Period, currency: str = "currency") -> Any:
    """Group the rows of the period by provider, currency and local day of the time `at`."""
    of_period = rows.filter(**{f"{at}__gte": period.start, f"{at}__lt": period.end}).order_by()
    day = TruncDate(at, tzinfo=shop_days.time_zone())
    return of_period.annotate(statement_currency=F(currency), day=day).values(*_KEY)


def _of(rows: QuerySet[Any], provider: str) -> QuerySet[Any]:
    return rows.filter(payment__provider=provider) if provider else rows


def _ledger(period: Period, provider: str) -> dict[str, int]:
    """The sums of the credit table, not grouped by day, so that a mistake in the grouping shows as a difference."""
    rows = _of(Credit.objects.filter(created_at__gte=period.start, created_at__lt=period.end), provider)
    return dict(rows.order_by().values("currency").annotate(total=Sum("amount")).values_list("currency", "total"))
