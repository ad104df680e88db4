"""Often used filters as links above a list, with a count that stops at a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext_lazy

from django_feexpay import conf
from django_feexpay.lifecycle import PublicStatus, Status, statuses_of
from django_feexpay.models import Incident, Payment, WebhookDelivery
from django_feexpay.monitoring.waiting import OPEN_LONG, OPEN_STATUSES
from django_feexpay.payments import shop_days

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: A count stops here: "99+". A larger one would read every row.
MAX_COUNT = 99
#: The parameter of the lists that names one of the filters of payments.
SHOW = "show"


@dataclass(frozen=True, slots=True)
class SavedFilter:
    """A filter with a name. `query`: the parameters of its address. `rows`: what it shows, for the count."""

    title: StrPromise
    query: Mapping[str, str]
    rows: Callable[[datetime], QuerySet[Any]]


def links(filters: tuple[SavedFilter, ...], request: HttpRequest) -> list[dict[str, Any]]:
    """Title, address and count of each filter. One statement each, which reads at most MAX_COUNT + 1 rows.

    The page of a search result has no counts: they are not about the searched rows.
    """
    is_search = bool(request.GET.get(SEARCH_VAR))
    now = conf.now()
    found = []
    for each in filters:
        query = QueryDict(mutable=True)
        query.update(dict(each.query))
        count = None if is_search else each.rows(now).order_by()[: MAX_COUNT + 1].count()
        found.append(
            {
                "title": each.title,
                "url": f"{request.path}?{query.urlencode()}",
                "count": _shown(count),
                "is_chosen": all(request.GET.get(name) == value for name, value in each.query.items()),
            }
        )
    return found


def _shown(count: int | None) -> str:
    if count is None:
        return ""
    return f"{MAX_COUNT}+" if count > MAX_COUNT else str(count)


# --- payments ----------------------------------------------------------------------------------------


def _stuck(now: datetime) -> QuerySet[Payment]:
    return Payment.objects.filter(status__in=OPEN_STATUSES, created_at__lt=now - OPEN_LONG)


def _under_review(now: datetime) -> QuerySet[Payment]:
    return Payment.objects.filter(status=Status.REVIEW)


def _with_open_incident(now: datetime) -> QuerySet[Payment]:
    return Payment.objects.filter(pk__in=Incident.objects.filter(closed_at__isnull=True).values("payment"))


def _failed_today(now: datetime) -> QuerySet[Payment]:
    return Payment.objects.filter(
        status__in=statuses_of(PublicStatus.FAILED), created_at__gte=shop_days.start_of(shop_days.today())
    )


STUCK = "stuck"
PAYMENTS = (
    SavedFilter(gettext_lazy("Stuck for 15 minutes or more"), {SHOW: STUCK}, _stuck),
    SavedFilter(gettext_lazy("Under review"), {SHOW: "review"}, _under_review),
    SavedFilter(gettext_lazy("With an open incident"), {SHOW: "incident"}, _with_open_incident),
    SavedFilter(gettext_lazy("Failed today"), {SHOW: "failed_today"}, _failed_today),
)
_BY_NAME = {each.query[SHOW]: each for each in PAYMENTS}


class SavedPaymentFilter(admin.SimpleListFilter):
    """The saved filter in the address. Hidden unless in use: the links stand above the list."""

    title = gettext_lazy("saved filter")
    parameter_name = SHOW

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        chosen = _BY_NAME.get(self.value() or "")
        return [] if chosen is None else [(chosen.query[SHOW], chosen.title)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment] | None:
        chosen = _BY_NAME.get(self.value() or "")
        return None if chosen is None else queryset & chosen.rows(conf.now())


# --- deliveries --------------------------------------------------------------------------------------

DELIVERIES = (
    SavedFilter(
        gettext_lazy("Without a payment"),
        {"attempt__isempty": "1", "payout__isempty": "1"},
        lambda now: WebhookDelivery.objects.unmatched(),
    ),
)
