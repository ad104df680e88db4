"""FeexPay's side of a statement: its history, as the comparisons of the period saw it, and its balance now.

The history is not stored. What FeexPay took according to its history is what our rows say, plus the open differences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Q

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.lifecycle import Status
from django_feexpay.models import Comparison, Discrepancy
from django_feexpay.payments.reconciliation.history import A_DAY, utc_day
from django_feexpay.payments.statements import Period, Statement

Kind = Discrepancy.Kind


@dataclass(frozen=True, slots=True)
class Difference:
    """An open difference and its effect: FeexPay took `effect` more than our rows say, or less if it is negative."""

    row: Discrepancy
    effect: int


@dataclass(frozen=True, slots=True)
class Sums:
    """What was taken in a currency, by our rows and by FeexPay's history. The currency is "" if FeexPay named none."""

    currency: str
    ours: int
    theirs: int

    @property
    def difference(self) -> int:
        return self.theirs - self.ours


@dataclass(frozen=True, slots=True)
class Settlement:
    """`uncompared`: days (UTC) of the period without a complete comparison, so FeexPay's sums are not proven there."""

    uncompared: list[date]
    differences: list[Difference]
    sums: list[Sums]


def settle(statement: Statement, provider: str = "") -> Settlement:
    """Compare a statement with FeexPay's history. Two queries, and no call to FeexPay. Safe to repeat: yes."""
    period = statement.period
    differences = list(_differences(period, provider))
    effects: dict[str, int] = defaultdict(int)
    for difference in differences:
        effects[difference.row.currency] += difference.effect
    ours = {
        currency: figures.gross + figures.double_charges - figures.reversals
        for currency, figures in statement.totals.items()
    }
    sums = [
        Sums(currency, ours.get(currency, 0), ours.get(currency, 0) + effects.get(currency, 0))
        for currency in sorted({*ours, *effects})
    ]
    return Settlement(_uncompared(period), differences, sums)


def balances() -> dict[str, int]:
    """Ask FeexPay for the shop's balance now, by its name of each operator. Raises: GatewayError."""
    return conf.gateway().balance()


def _uncompared(period: Period) -> list[date]:
    first, last = utc_day(period.start), utc_day(period.end - timedelta(microseconds=1))
    complete = Comparison.objects.filter(
        state=Comparison.State.COMPLETE, first_day__lte=last, last_day__gte=first
    ).values_list("first_day", "last_day")
    compared = {day for start, end in complete for day in _days(max(start, first), min(end, last))}
    return [day for day in _days(first, last) if day not in compared]


def _differences(period: Period, provider: str) -> Iterator[Difference]:
    """The open differences of attempts sent in the period, and of charges that only FeexPay has.

    A difference with an incident is left out: the statement counts it as a double charge or a reversal. Two
    differences about one charge, such as its amount and its status, count once.
    """
    sent = Q(attempt__sent_at__gte=period.start, attempt__sent_at__lt=period.end)
    unknown_here = Q(
        attempt=None, last_comparison__first_day__lte=period.last_day, last_comparison__last_day__gte=period.first_day
    )
    rows = Discrepancy.objects.still_open().exclude(outcome=Discrepancy.Outcome.INCIDENT)
    rows = rows.filter(sent & Q(payment__provider=provider) if provider else sent | unknown_here)
    counted = set()
    for row in rows.order_by("pk"):
        charge = (row.attempt_id, row.gateway_reference.casefold())
        yield Difference(row, 0 if charge in counted else _effect(row))
        counted.add(charge)


def _effect(row: Discrepancy) -> int:
    theirs = row.their_amount if row.their_word == Word.SUCCESSFUL else 0
    is_credited = row.our_status == Status.SUCCESSFUL and row.kind != Kind.SECOND_ROW
    return (theirs or 0) - ((row.our_amount or 0) if is_credited else 0)


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += A_DAY
