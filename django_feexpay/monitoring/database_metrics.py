"""The metrics that our tables and the shared cache know, read at the scrape, so that no restart loses them.

Every web process answers with the same numbers: queries take `max` over the instances, not `sum`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db import DatabaseError, connection
from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from django_feexpay import __version__, cache_state, conf
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import Status
from django_feexpay.models import DailyTotal, Payment, Provider
from django_feexpay.monitoring import facts, figures
from django_feexpay.monitoring.measurements import Measurements
from django_feexpay.monitoring.provider_health import ENDED
from django_feexpay.payments import daily_totals, shop_days, webhook_rejects
from django_feexpay.payments.admission import circuit_breaker

logger = logging.getLogger("django_feexpay.monitoring")

#: Days before the last few hardly change: they are added up once an hour, not at every scrape.
_FRESH_DAYS = 3
_OLD_DAYS_SECONDS = 3600
_PAYERS_SECONDS = 600
_PAYER_DAYS = (1, 7, 30)

Families = Iterator[Metric]


class DatabaseCollector:
    """A collector of prometheus_client. While the database does not answer, it gives `feexpay_up 0` alone."""

    def collect(self) -> Families:
        try:
            found = list(_families(Measurements(conf.now())))
        except DatabaseError as error:
            logger.error("no metrics: %s", type(error).__name__)
            connection.close()
            found = []
        yield _gauge("feexpay_up", "1 while the database answers.", (), [((), float(bool(found)))])
        yield from found


def _families(measurements: Measurements) -> Families:
    labels = ((__version__, feexpay.environment), 1.0)
    yield _gauge("feexpay_info", "The release and its environment.", ("version", "environment"), [labels])
    yield from _facts(measurements)
    yield from _totals(measurements.now)
    yield from _window(measurements)
    yield from _open(measurements)
    yield from _webhooks(measurements)
    yield _circuits(measurements)
    yield _payers(measurements.now)


def _facts(measurements: Measurements) -> Families:
    values = facts.measured_now(measurements)
    measured = [
        (fact, subject, value) for fact in facts.FACTS for subject, value in sorted((values[fact.name] or {}).items())
    ]
    yield _gauge(
        "feexpay_fact_value",
        "What a health fact measures; docs/reference/health-facts.md.",
        ("fact", "subject"),
        [((fact.name, subject), value) for fact, subject, value in measured],
    )
    yield _gauge(
        "feexpay_fact_threshold",
        "Beyond it, a health fact is trouble.",
        ("fact",),
        [((fact.name,), fact.limit) for fact in facts.FACTS],
    )
    yield _gauge(
        "feexpay_fact_trouble",
        "1 while a health fact is beyond its threshold.",
        ("fact", "subject", "severity"),
        [((fact.name, subject, fact.severity), float(fact.is_trouble(value))) for fact, subject, value in measured],
    )


# --- counters: they only grow, because nothing leaves SUCCESSFUL and no payment is deleted -------------

_Key = tuple[str, str]


def _totals(now: datetime) -> Families:
    """Payments, amounts and times to settle since the first payment, from the daily totals."""
    today = shop_days.day_of(now)
    fresh_from = today - timedelta(days=_FRESH_DAYS)
    sums = _added(_old_days(fresh_from), _days(DailyTotal.objects.filter(day__gte=fresh_from)))
    labels = ("provider", "currency")
    for name, text, column in (
        ("feexpay_payments_started", "Payments started.", "started"),
        ("feexpay_payments_credited", "Payments credited.", "succeeded"),
        ("feexpay_credited_amount", "Sum credited, in the minor unit of the currency.", "amount"),
        ("feexpay_fees", "FeexPay's fees of credited payments.", "fee"),
    ):
        family = CounterMetricFamily(name, text, labels=labels)
        for key, row in sorted(sums.items()):
            family.add_metric(key, row[column])
        yield family
    yield _settle_seconds(sums)


def _settle_seconds(sums: Mapping[_Key, Mapping[str, Any]]) -> HistogramMetricFamily:
    """No sum of seconds is kept, so the histogram has none: quantiles need only the buckets."""
    family = HistogramMetricFamily("feexpay_settle_seconds", "Time from start to credit.", labels=("provider",))
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * (len(daily_totals.BOUNDS) + 1))
    for (provider, _currency), row in sums.items():
        counts[provider] = [one + other for one, other in zip(counts[provider], row["settle_counts"], strict=True)]
    for provider, numbers in sorted(counts.items()):
        upto, buckets = 0, []
        for bound, number in zip((*map(float, daily_totals.BOUNDS), float("inf")), numbers, strict=True):
            upto += number
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(upto)))
        family.add_metric((provider,), buckets=buckets, sum_value=None)
    return family


def _old_days(before: date) -> dict[_Key, dict[str, Any]]:
    """The sums of all days before the fresh ones. The day is part of the name, so that no day counts twice."""
    name = f"metrics:totals:{before}"
    found: dict[_Key, dict[str, Any]] | None = cache_state.read([name]).get(name)
    if found is None:
        found = _days(DailyTotal.objects.filter(day__lt=before))
        cache_state.put(name, found, _OLD_DAYS_SECONDS)
    return found


def _days(rows: Any) -> dict[_Key, dict[str, Any]]:
    found: dict[_Key, dict[str, Any]] = {}
    for row in rows.order_by().values(*_COLUMNS, "provider", "currency", "settle_counts").iterator():
        key = row["provider"], row["currency"]
        found[key] = _sum(found[key], row) if key in found else dict(row)
    return found


_COLUMNS = ("started", "succeeded", "amount", "fee")


def _added(one: Mapping[_Key, dict[str, Any]], other: Mapping[_Key, dict[str, Any]]) -> dict[_Key, dict[str, Any]]:
    found = dict(one)
    for key, row in other.items():
        found[key] = _sum(found[key], row) if key in found else row
    return found


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    counts = [a + b for a, b in zip(one["settle_counts"], other["settle_counts"], strict=True)]
    return {**one, **{name: one[name] + other[name] for name in _COLUMNS}, "settle_counts": counts}


# --- gauges -------------------------------------------------------------------------------------------


def _window(measurements: Measurements) -> Families:
    """Outcomes are gauges: a late success makes a failure a success, and a counter must not go down."""
    outcomes = sorted(measurements.outcomes.items())
    yield _gauge(
        "feexpay_window_payments",
        "Payments started in the last MONITOR_WINDOW_MINUTES, by status now.",
        ("provider", "status"),
        outcomes,
    )
    ended: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for (provider, status), count in outcomes:
        if status in ENDED:
            ended[provider][0] += count
            ended[provider][1] += count if status == Status.SUCCESSFUL else 0
    rates = [((provider,), 100 * good / all_) for provider, (all_, good) in sorted(ended.items())]
    text = "Percent of the payments of the window that succeeded, of those that ended."
    yield _gauge("feexpay_window_success_percent", text, ("provider",), rates)


def _open(measurements: Measurements) -> Families:
    ages = [
        ((_age_label(above, upto),), float(count))
        for above, upto, count in figures.open_by_age(measurements.now, provider="")
    ]
    yield _gauge("feexpay_open_payments", "Open payments, by their age in seconds.", ("age",), ages)
    text = "Attempts that are due for a poll or a send."
    yield _gauge("feexpay_due_attempts", text, (), [((), float(measurements.polls_due()))])
    text = "Signals that no receiver has taken yet."
    yield _gauge("feexpay_waiting_signals", text, (), [((), float(measurements.signals_waiting()))])


def _age_label(above: timedelta | None, upto: timedelta | None) -> str:
    first = 0 if above is None else int(above.total_seconds())
    return f"{first}-{int(upto.total_seconds())}" if upto is not None else f"{first}-"


def _webhooks(measurements: Measurements) -> Families:
    found = figures.webhooks(measurements.now)
    counts = {
        "matched": found.count - found.unmatched,
        "unmatched": found.unmatched,
        "rejected": webhook_rejects.in_last_day(measurements.now),
        "dropped": measurements.drops.day,
    }
    yield _gauge(
        "feexpay_webhooks_day",
        "Webhooks of the last 24 hours, by verdict; repeats of one webhook count once.",
        ("verdict",),
        [((verdict,), float(count)) for verdict, count in counts.items()],
    )
    lags = [(share, figures.share_of(found.lag_seconds, share)) for share in (0.5, 0.95)]
    text = "Time from a webhook to the credit, of the newest deliveries of the last 24 hours."
    known = [((str(share),), lag) for share, lag in lags if lag is not None]
    yield _gauge("feexpay_webhook_lag_seconds", text, ("quantile",), known)


def _circuits(measurements: Measurements) -> GaugeMetricFamily:
    open_now = measurements.open_circuits()
    enabled = Provider.objects.filter(enabled=True).order_by("pk").values_list("pk", flat=True)
    circuits = [circuit_breaker.GATEWAY, *enabled]
    text = "1 while a circuit breaker is open; circuit: a provider, or `gateway` for FeexPay."
    return _gauge("feexpay_circuit_open", text, ("circuit",), [((name,), float(name in open_now)) for name in circuits])


def _payers(now: datetime) -> GaugeMetricFamily:
    """Distinct payers are slow to count, so they are counted every ten minutes."""

    def count() -> dict[str, int]:
        found = {}
        for days in _PAYER_DAYS:
            rows = Payment.objects.filter(status=Status.SUCCESSFUL, created_at__gte=now - timedelta(days=days))
            found[f"{days}d"] = rows.order_by().aggregate(count=Count("user", distinct=True))["count"]
        return found

    counts = _kept("metrics:payers", _PAYERS_SECONDS, count)
    rows = [((window,), float(number)) for window, number in counts.items()]
    return _gauge("feexpay_payers", "Users with a credited payment in the window.", ("window",), rows)


def _kept(name: str, seconds: float, count: Callable[[], dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] | None = cache_state.read([name]).get(name)
    if found is None:
        found = count()
        cache_state.put(name, found, seconds)
    return found


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family
