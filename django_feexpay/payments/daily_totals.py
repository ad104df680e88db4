"""The daily totals: count the days whose payments changed, count everything again, compare with the payments.

A day is counted whole, from the payments, so counting it again repairs it. Which days changed is known from the events:
every change of a payment writes one. Events of the last minutes are looked at again each time, because a transaction
with a lower event id may commit after one with a higher id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from django_feexpay import conf
from django_feexpay.lifecycle import Status
from django_feexpay.models import DailyTotal, Payment, PaymentEvent, TotalsCursor
from django_feexpay.payments.durability import durable

#: The seconds to settle, as upper bounds; a last count is of the longer ones.
BOUNDS = (2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800, 3600, 86_400)

A_DAY = timedelta(days=1)
#: Longer than any of our transactions, and than the difference of two clocks.
_LOOKED_AT_AGAIN = timedelta(minutes=10)
#: Days in one statement of a rebuild.
_DAYS_AT_ONCE = 31

_CURSOR = 1
_FAILED = Q(status__in=[Status.FAILED, Status.REJECTED])
_SUCCEEDED = Q(status=Status.SUCCESSFUL)
_COUNTED = ("started", "succeeded", "failed", "expired", "amount", "fee", "settle_counts", "reasons")


def keep() -> int:
    """Count the days again whose payments changed since the last call; return how many days.

    Changes: DailyTotal, TotalsCursor. Safe to repeat: yes, also at the same time: one caller counts.
    """
    cursor = TotalsCursor.objects.filter(pk=_CURSOR).first()
    if cursor is None or cursor.time_zone != settings.TIME_ZONE:
        return rebuild()
    now = conf.now()
    claimed = TotalsCursor.objects.filter(pk=_CURSOR, claimed_at=cursor.claimed_at).update(claimed_at=now)
    if not claimed:
        return 0
    newest = _newest_old_event(now, above=cursor.event_id)
    days = sorted(days_changed_since(cursor.event_id))
    for day in days:
        _store(day, day)
    TotalsCursor.objects.filter(pk=_CURSOR).update(event_id=newest, counted_at=now)
    return len(days)


def rebuild() -> int:
    """Count every day again, from the first payment on; return how many days.

    Changes: DailyTotal, TotalsCursor. Safe to repeat: yes.
    """
    now = conf.now()
    newest = _newest_old_event(now, above=0)
    first: datetime | None = Payment.objects.aggregate(first=Min("created_at"))["first"]
    today = local_day(now)
    day = today if first is None else min(local_day(first), today)
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


def local_day(at: datetime) -> date:
    """The day of an instant in the shop's time zone."""
    return at.astimezone(timezone.get_default_timezone()).date()


def start_of(day: date) -> datetime:
    """The first instant of a day in the shop's time zone."""
    return datetime.combine(day, time.min, timezone.get_default_timezone())


def days_changed_since(event_id: int) -> set[date]:
    """The days of the payments with a later event than this one."""
    day = TruncDate("payment__created_at", tzinfo=timezone.get_default_timezone())
    events = PaymentEvent.objects.filter(pk__gt=event_id).order_by()
    return set(events.values_list(day, flat=True).distinct())


def unlike_the_payments() -> Iterator[str]:
    """The totals that differ from what the payments add up to, as `day provider currency: ...`.

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
        rows = rows.filter(created_at__gte=start_of(first))
    if last is not None:
        rows = rows.filter(created_at__lt=start_of(last + A_DAY))
    return rows.annotate(day=TruncDate("created_at", tzinfo=timezone.get_default_timezone()))


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


def _newest_old_event(now: datetime, *, above: int) -> int:
    """The highest event id that is too old for a lower one to be committed yet."""
    old = PaymentEvent.objects.filter(pk__gt=above, created_at__lt=now - _LOOKED_AT_AGAIN)
    newest: int | None = old.aggregate(newest=Max("pk"))["newest"]
    return above if newest is None else newest


def _key(row: DailyTotal) -> tuple[date, str, str]:
    return row.day, row.provider_id, row.currency


def _values(row: DailyTotal | None) -> dict[str, Any]:
    return {} if row is None else {name: getattr(row, name) for name in _COUNTED}


def quantile(counts: Iterable[int], share: float) -> int | None:
    """The upper bound of the class in which this share of a histogram is reached; None without a count.

    The last class has no bound: it answers as if it were the longest bound.
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
