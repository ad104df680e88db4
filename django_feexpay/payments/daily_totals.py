"""The daily totals: update the days whose payments changed, rebuild them all, compare them with the payments.

A day is always counted as a whole, from its payments, so counting it again repairs it. The events show which days
changed, since every change of a payment writes one. Each update reads the events of the last minutes once more, because
a transaction with a lower event id may commit after one with a higher id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from django_feexpay import conf
from django_feexpay.lifecycle import Status
from django_feexpay.models import DailyTotal, Payment, PaymentEvent, TotalsCursor
from django_feexpay.payments import shop_days
from django_feexpay.payments.durability import durable
from django_feexpay.payments.shop_days import A_DAY

#: Upper bounds of the classes of the time to settle, in seconds. One more class has the payments that took longer.
BOUNDS = (2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800, 3600, 86_400)

#: Longer than any of our transactions, and than the difference of two clocks.
_RECHECKED = timedelta(minutes=10)
#: Days in one statement of a rebuild.
_DAYS_AT_ONCE = 31

_CURSOR = 1
_FAILED = Q(status__in=[Status.FAILED, Status.REJECTED])
_SUCCEEDED = Q(status=Status.SUCCESSFUL)
_COUNTED = ("started", "succeeded", "failed", "expired", "amount", "fee", "settle_counts", "reasons")


def update() -> int:
    """Count again the days whose payments changed since the last call; return how many days.

    Changes: DailyTotal, TotalsCursor. Safe to repeat: yes, also concurrently: only one caller counts.
    """
    cursor = TotalsCursor.objects.filter(pk=_CURSOR).first()
    if cursor is None or cursor.time_zone != settings.TIME_ZONE:
        return rebuild()
    now = conf.now()
    claimed = TotalsCursor.objects.filter(pk=_CURSOR, claimed_at=cursor.claimed_at).update(claimed_at=now)
    if not claimed:
        return 0
    newest = _last_complete_event(now, above=cursor.event_id)
    days = sorted(days_changed_since(cursor.event_id))
    for day in days:
        _store(day, day)
    TotalsCursor.objects.filter(pk=_CURSOR).update(event_id=newest, counted_at=now)
    return len(days)


def rebuild() -> int:
    """Count every day since the first payment again; return how many days.

    Changes: DailyTotal, TotalsCursor. Safe to repeat: yes.
    """
    now = conf.now()
    newest = _last_complete_event(now, above=0)
    first: datetime | None = Payment.objects.aggregate(first=Min("created_at"))["first"]
    today = shop_days.day_of(now)
    day = today if first is None else min(shop_days.day_of(first), today)
    DailyTotal.objects.filter(day__lt=day).delete()
    count = 0
    while day <= today:
        last = min(day + (_DAYS_AT_ONCE - 1) * A_DAY, today)
        _store(day, last)
        count += (last - day).days + 1
        day = last + A_DAY
    TotalsCursor.objects.update_or_create(
        pk=_CURSOR,
        defaults={"event_id": newest, "time_zone": settings.TIME_ZONE, "claimed_at": now, "counted_at": now},
    )
    return count


def counted_at() -> datetime | None:
    """When the totals were last brought up to date; None: never."""
    return TotalsCursor.objects.filter(pk=_CURSOR).values_list("counted_at", flat=True).first()


def days_changed_since(event_id: int) -> set[date]:
    """The days of the payments with a later event than this one."""
    day = TruncDate("payment__created_at", tzinfo=shop_days.time_zone())
    events = PaymentEvent.objects.filter(pk__gt=event_id).order_by()
    return set(events.values_list(day, flat=True).distinct())


def differences() -> Iterator[str]:
    """Yield each total that differs from the sum of its payments, as `total <day> <provider> <currency>: ...`.

    Days whose payments changed since the last count are left out: the next count brings them up to date.
    """
    cursor = TotalsCursor.objects.filter(pk=_CURSOR).first()
    if cursor is None:
        return
    stored = {_key(row): row for row in DailyTotal.objects.all()}
    counted = {_key(row): row for row in count(None, None)}
    changed = days_changed_since(cursor.event_id)
    for key in sorted(stored.keys() | counted.keys()):
        if key[0] in changed:
            continue
        ours, theirs = (_values(rows.get(key)) for rows in (stored, counted))
        if unlike := [name for name in _COUNTED if ours.get(name) != theirs.get(name)]:
            name = unlike[0]
            yield f"total {' '.join(map(str, key))}: {name} {ours.get(name)}, its payments have {theirs.get(name)}"


def count(first: date | None, last: date | None) -> list[DailyTotal]:
    """The totals of these days (both included; None: no limit), counted from the payments and not saved."""
    payments = _payments(first, last)
    reasons: dict[tuple[Any, ...], dict[str, int]] = defaultdict(dict)
    unsuccessful = payments.filter(_FAILED | Q(status=Status.EXPIRED)).exclude(latest_attempt__reason_code="")
    named = unsuccessful.values_list(*_GROUP, "latest_attempt__reason_code")
    for *key, code, number in named.annotate(number=Count("pk")):
        reasons[tuple(key)][code] = number
    grouped = payments.values(*_GROUP).annotate(
        started=Count("pk"),
        succeeded=Count("pk", filter=_SUCCEEDED),
        failed=Count("pk", filter=_FAILED),
        expired=Count("pk", filter=Q(status=Status.EXPIRED)),
        credited=Sum("credit__amount", default=0),
        fees=Sum("fee", filter=_SUCCEEDED, default=0),
        **{f"within_{seconds}": Count("pk", filter=_settled_within(seconds)) for seconds in BOUNDS},
    )
    return [_total(row, reasons[tuple(row[name] for name in _GROUP)]) for row in grouped]


_GROUP = ("day", "provider_id", "charged_currency")


def _payments(first: date | None, last: date | None) -> QuerySet[Payment]:
    rows = Payment.objects.order_by()
    if first is not None:
        rows = rows.filter(created_at__gte=shop_days.start_of(first))
    if last is not None:
        rows = rows.filter(created_at__lt=shop_days.start_of(last + A_DAY))
    return rows.annotate(day=TruncDate("created_at", tzinfo=shop_days.time_zone()))


def _settled_within(seconds: int) -> Q:
    return _SUCCEEDED & Q(settled_at__lte=F("created_at") + timedelta(seconds=seconds))


def _total(row: dict[str, Any], reasons: dict[str, int]) -> DailyTotal:
    upto = [0, *(row[f"within_{seconds}"] for seconds in BOUNDS), row["succeeded"]]
    return DailyTotal(
        day=row["day"],
        provider_id=row["provider_id"],
        currency=row["charged_currency"],
        started=row["started"],
        succeeded=row["succeeded"],
        failed=row["failed"],
        expired=row["expired"],
        amount=row["credited"],
        fee=row["fees"],
        settle_counts=[after - before for before, after in pairwise(upto)],
        reasons=dict(sorted(reasons.items())),
    )


def _store(first: date, last: date) -> None:
    """Replace the totals of these days."""
    rows = count(first, last)
    keys = {_key(row) for row in rows}
    with durable():
        stored = DailyTotal.objects.filter(day__range=(first, last))
        gone = [row.pk for row in stored if _key(row) not in keys]
        DailyTotal.objects.filter(pk__in=gone).delete()
        DailyTotal.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["day", "provider", "currency"], update_fields=_COUNTED
        )


def _last_complete_event(now: datetime, *, above: int) -> int:
    """The highest event id that is so old that no transaction can still commit a lower one."""
    old = PaymentEvent.objects.filter(pk__gt=above, created_at__lt=now - _RECHECKED)
    newest: int | None = old.aggregate(newest=Max("pk"))["newest"]
    return above if newest is None else newest


def _key(row: DailyTotal) -> tuple[date, str, str]:
    return row.day, row.provider_id, row.currency


def _values(row: DailyTotal | None) -> dict[str, Any]:
    return {} if row is None else {name: getattr(row, name) for name in _COUNTED}


def quantile(counts: Iterable[int], share: float) -> int | None:
    """The upper bound of the class in which a histogram reaches this share; None if the histogram is empty.

    The last class has no upper bound, so the longest bound is returned for it.
    """
    numbers = list(counts)
    wanted, seen = share * sum(numbers), 0
    if not wanted:
        return None
    for bound, number in zip((*BOUNDS, BOUNDS[-1]), numbers, strict=True):
        seen += number
        if seen >= wanted:
            return bound
    return BOUNDS[-1]
