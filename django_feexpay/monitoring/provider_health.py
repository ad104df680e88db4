"""Each provider now: is it switched on, is its circuit open and since when, and how many payments succeeded lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, FilteredRelation, Q

from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Provider
from django_feexpay.payments.admission import circuit_breaker, trouble

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

#: A payment under review has no outcome yet.
ENDED = sorted(frozenset(Status) - LIVE - {Status.REVIEW})


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """How many of the payments that were started in a period, and have ended, succeeded."""

    succeeded: int
    ended: int

    @property
    def percent(self) -> int | None:
        """The rate, rounded down, so that 100 means all of them; None if no payment has ended."""
        return 100 * self.succeeded // self.ended if self.ended else None


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """`circuit`: the open circuit that stops this provider, "" for none; `open_since`: since when.

    `started`: its payments of the last day.
    """

    provider: Provider
    circuit: str
    open_since: datetime | None
    started: int
    last_hour: SuccessRate
    last_day: SuccessRate


def read(now: datetime) -> list[ProviderHealth]:
    """The providers that are switched on or had payments within a day. One statement, and one read of the cache.

    Providers in trouble come first, then those with the most payments.
    """
    rows = list(_with_counts(now))
    circuits = circuit_breaker.open_since([row.pk for row in rows])
    found = [_health(row, circuits) for row in rows if row.enabled or row.day_started]
    return sorted(found, key=lambda row: (row.provider.pk not in circuits, -row.started, row.provider.pk))


def _with_counts(now: datetime) -> Any:
    """The providers with the counts of their payments. The join reads the payments of one day only."""
    in_hour, ended, succeeded = (
        Q(recent__created_at__gte=now - HOUR),
        Q(recent__status__in=ENDED),
        Q(recent__status=Status.SUCCESSFUL),
    )
    recent = FilteredRelation("payments", condition=Q(payments__created_at__gte=now - DAY))
    return Provider.objects.alias(recent=recent).annotate(
        day_started=Count("recent"),
        day_ended=Count("recent", filter=ended),
        day_succeeded=Count("recent", filter=succeeded),
        hour_ended=Count("recent", filter=ended & in_hour),
        hour_succeeded=Count("recent", filter=succeeded & in_hour),
    )


def _health(row: Any, circuits: Mapping[str, datetime]) -> ProviderHealth:
    circuit = trouble.circuit_of(row.pk, circuits)
    return ProviderHealth(
        provider=row,
        circuit=circuit,
        open_since=circuits.get(circuit),
        started=row.day_started,
        last_hour=SuccessRate(row.hour_succeeded, row.hour_ended),
        last_day=SuccessRate(row.day_succeeded, row.day_ended),
    )
