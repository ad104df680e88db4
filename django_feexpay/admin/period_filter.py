"""The filter by days of the shop's time zone, for every list with a date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import DateTimeField, QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from django_feexpay.admin import display
from django_feexpay.payments import shop_days
from django_feexpay.payments.shop_days import A_DAY
from django_feexpay.payments.statements import Period


class PeriodFilter(admin.FieldListFilter):
    """A filter from a day to a day, both included, or a named period.

    The address names days: `created_at__from=2026-11-01`. Links of the dashboard and the overview narrow a list to
    instants, `created_at__gte` and `created_at__lt`. The filter shows them too.
    """

    template = "admin/feexpay/period_filter.html"

    def __init__(
        self, field: Any, request: HttpRequest, params: Any, model: Any, model_admin: Any, field_path: str
    ) -> None:
        self.first_name, self.last_name = f"{field_path}__from", f"{field_path}__to"
        self._instants = (f"{field_path}__gte", f"{field_path}__lt")
        self.first, self.last = (_last(params, name) for name in (self.first_name, self.last_name))
        self.since, self.before = (_instant(_last(params, name)) for name in self._instants)
        super().__init__(field, request, params, model, model_admin, field_path)
        self.title = _("period")
        self.time_zone = str(shop_days.time_zone())
        self.other_params: Mapping[str, Any] = {}

    @property
    def chosen_words(self) -> str:
        """The chosen days or instants, for the chip above the list."""
        shown = [display.short_day(day) for day in (_day(self.first), _day(self.last)) if day]
        return " – ".join([*shown, *(str(instant) for instant in (self.since, self.before) if instant)])

    def expected_parameters(self) -> list[str | None]:
        return [self.first_name, self.last_name]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = _day(self.first), _day(self.last)
        if not isinstance(self.field, DateTimeField):
            days = {f"{self.field_path}__gte": first, f"{self.field_path}__lte": last}
            return queryset.filter(**{name: day for name, day in days.items() if day is not None})
        if first is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": shop_days.start_of(first)})
        if last is not None:
            queryset = queryset.filter(**{f"{self.field_path}__lt": shop_days.start_of(last + A_DAY)})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        own = {self.first_name, self.last_name, *self._instants, "p"}
        self.other_params = {name: value for name, value in changelist.params.items() if name not in own}
        remove = [*own]
        yield {
            "selected": not (self.first or self.last or self.since or self.before),
            "query_string": changelist.get_query_string(remove=remove),
            "display": _("Any date"),
        }
        for title, first, last in _named_periods():
            days = {self.first_name: first.isoformat(), self.last_name: last.isoformat()}
            yield {
                "selected": (self.first, self.last) == tuple(days.values()),
                "query_string": changelist.get_query_string(days, remove=list(self._instants)),
                "display": title,
            }


def _named_periods() -> Iterator[tuple[str, date, date]]:
    now = shop_days.today()
    month, last_month = Period.month_of(now), Period.last_month()
    yield _("Today"), now, now
    yield _("Past 7 days"), now - 6 * A_DAY, now
    yield _("This month"), month.first_day, month.last_day
    yield _("Last month"), last_month.first_day, last_month.last_day
    yield _("This year"), now.replace(month=1, day=1), now.replace(month=12, day=31)


def _last(params: Mapping[str, Any], name: str) -> str:
    """The last value of a parameter, "" without one. Django keeps a list of them."""
    values = params.get(name) or [""]
    return str(values[-1] if isinstance(values, list) else values)


def _day(text: str) -> date | None:
    """The day in a text; None for "". Raises: IncorrectLookupParameters for any other text."""
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None and text:
        raise IncorrectLookupParameters(text)
    return day


def _instant(text: str) -> str:
    """An instant of an address in the words of the page; "" for none."""
    try:
        at: datetime | None = parse_datetime(text)
    except ValueError:
        at = None
    if at is None:
        return ""
    return display.short_moment(at)
