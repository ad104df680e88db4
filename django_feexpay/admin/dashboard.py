"""The dashboard: the figures of a period against the period before, and how the payments run now.

Period and provider stand in the address. Every figure links to the list behind it, for staff who may view that list.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_feexpay import conf
from django_feexpay.admin import charts, display, overview
from django_feexpay.admin.overview import list_url, may, sums_shown
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.providers import enabled_badge, switched_off_badge
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.admin.reason_texts import REASONS
from django_feexpay.lifecycle import LIVE
from django_feexpay.models import Heartbeat, Provider
from django_feexpay.monitoring import figures
from django_feexpay.monitoring.figures import Period, Sums
from django_feexpay.monitoring.provider_health import ENDED
from django_feexpay.monitoring.waiting import OPEN_LONG
from django_feexpay.payments import daily_totals, webhook_drops, webhook_rejects
from django_feexpay.payments.admission import circuit_breaker, trouble

NAME = "dashboard"
TITLE = gettext_lazy("Dashboard")

_DEFAULT_DAYS = 7
_REASONS_SHOWN = 8
_ENDED = ",".join(ENDED)


def page(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponse:
    """The dashboard. Raises: PermissionDenied without the permission to view daily totals."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    now = conf.now()
    providers = {row.pk: row for row in Provider.objects.all()}
    days = _chosen_days(request)
    provider = request.GET.get("provider", "")
    provider = provider if provider in providers else ""
    context = {
        **page_context(model_admin, request, TITLE),
        "looked_at": now,
        "counted_at": daily_totals.counted_at(),
        "periods": [_period_choice(choice, days, provider) for choice in figures.PERIODS],
        "days": days,
        "provider": provider,
        "providers": [row for row in providers.values() if row.enabled or row.pk == provider],
        "overview_url": "../../payment/overview/" if overview.may_open(request) else "",
        **_Figures(request, figures.period_of(days, now), provider, now).context(providers),
    }
    return TemplateResponse(request, "admin/feexpay/dashboard/page.html", context)


def _chosen_days(request: HttpRequest) -> int:
    chosen = request.GET.get("days", "")
    return next((days for days in figures.PERIODS if str(days) == chosen), _DEFAULT_DAYS)


def _period_choice(days: int, chosen: int, provider: str) -> dict[str, Any]:
    query = {"days": days} | ({"provider": provider} if provider else {})
    return {"words": _period_words(days), "url": f"?{urlencode(query)}", "is_chosen": days == chosen}


def _period_words(days: int) -> str:
    return _("Today") if days == 1 else ngettext("%(days)d day", "%(days)d days", days) % {"days": days}


class _Figures:
    """The parts of the template's context, for one user, period and provider."""

    def __init__(self, request: HttpRequest, period: Period, provider: str, now: datetime) -> None:
        self._request, self._period, self._provider, self._now = request, period, provider, now
        self._links = may(request, "payment")

    def context(self, providers: Mapping[str, Provider]) -> dict[str, Any]:
        read = figures.read(self._period, self._provider)
        return {
            "is_empty": not read.now.started and not read.before.started,
            "tiles": self._tiles(read.now, read.before),
            "chart": self._day_chart(read.by_day),
            "by_provider": self._providers(read.by_provider, providers),
            "settle": self._settle_chart(read.now),
            "reasons": self._reasons(read.now),
            "open": self._open(),
            "webhooks": self._webhooks() if may(self._request, "webhookdelivery") else None,
            "signs": self._signs(),
            "users": self._users() if self._links else [],
        }

    # --- tiles ---------------------------------------------------------------------------------------

    def _tiles(self, now: Sums, before: Sums) -> list[dict[str, Any]]:
        return [
            self._tile(_("Credited"), sums_shown(now.amounts) or 0, sums_shown(before.amounts) or 0, "successful")
            | {"change": _change(sum(now.amounts.values()), sum(before.amounts.values()))},
            self._tile(_("Fees"), sums_shown(now.fees) or 0, sums_shown(before.fees) or 0, "successful")
            | {"change": _change(sum(now.fees.values()), sum(before.fees.values()))},
            self._tile(_("Payments started"), grouped(now.started), grouped(before.started), "")
            | {"change": _change(now.started, before.started)},
            self._tile(_("Succeeded"), grouped(now.succeeded), grouped(before.succeeded), "successful")
            | {"change": _change(now.succeeded, before.succeeded)},
            self._tile(_("Success rate"), _percent(now.percent), _percent(before.percent), _ENDED),
            self._tile(_("Half are credited within"), _within(now, 0.5), _within(before, 0.5), "successful"),
            self._tile(_("19 of 20 are credited within"), _within(now, 0.95), _within(before, 0.95), "successful"),
        ]

    def _tile(self, title: str, value: Any, before: Any, status: str) -> dict[str, Any]:
        return {
            "title": title,
            "value": value,
            "before": before,
            "url": self._payments(self._period, status),
            "before_url": self._payments(self._period.before(), status),
        }

    def _payments(self, period: Period, status: str = "", **filters: Any) -> str:
        """The list of the payments started in a period; `status`: one or several, by comma. "" without the right."""
        if not self._links:
            return ""
        if status:
            filters["status__in"] = status
        if self._provider:
            filters.setdefault("provider__code__exact", self._provider)
        since, until = period.starts_at.isoformat(), period.ends_at.isoformat()
        return list_url("payment", created_at__gte=since, created_at__lt=until, **filters)

    # --- charts --------------------------------------------------------------------------------------

    def _day_chart(self, by_day: Mapping[date, Sums]) -> dict[str, Any] | None:
        if len(by_day) < 2:
            return None
        stacks = [self._day(day, sums) for day, sums in by_day.items()]
        first, last = (display.short_day(day) for day in (self._period.first, self._period.last))
        return _chart(stacks, first, last)

    def _day(self, day: date, sums: Sums) -> charts.Stack:
        undecided = sums.started - sums.ended
        counts = _("%(succeeded)d succeeded, %(failed)d failed, %(expired)d expired, %(open)d open") % {
            "succeeded": sums.succeeded,
            "failed": sums.failed,
            "expired": sums.expired,
            "open": undecided,
        }
        words = f"{display.short_day(day)}: {counts}"
        values = {"good": sums.succeeded, "bad": sums.failed, "quiet": sums.expired, "waiting": undecided}
        return charts.Stack(words, self._payments(Period(day, day)), values)

    def _settle_chart(self, sums: Sums) -> dict[str, Any] | None:
        """The classes up to the last one that has a payment."""
        if not sums.succeeded:
            return None
        longest = max(number for number, count in enumerate(sums.settle_counts) if count)
        stacks = [
            charts.Stack(f"{_class_words(number)}: {grouped(count)}", "", {"good": count})
            for number, count in enumerate(sums.settle_counts[: longest + 1])
        ]
        url = self._payments(self._period, "successful")
        return _chart(stacks, _class_words(0), _class_words(longest)) | {"url": url}

    # --- tables --------------------------------------------------------------------------------------

    def _providers(self, by_provider: Mapping[str, Sums], providers: Mapping[str, Provider]) -> list[dict[str, Any]]:
        circuits = circuit_breaker.open_since(by_provider)
        rows = []
        for code, sums in sorted(by_provider.items(), key=lambda item: -item[1].started):
            circuit = trouble.circuit_of(code, circuits)
            row = providers[code]
            state = enabled_badge(circuit) if row.enabled else switched_off_badge(row)
            rows.append(
                {
                    "name": str(row),
                    "state": state,
                    "started": grouped(sums.started),
                    "percent": sums.percent,
                    "amount": sums_shown(sums.amounts) or 0,
                    "within": _within(sums, 0.95),
                    "url": self._payments(self._period, provider__code__exact=code),
                    "ended_url": self._payments(self._period, _ENDED, provider__code__exact=code),
                    "credited_url": self._payments(self._period, "successful", provider__code__exact=code),
                }
            )
        return rows

    def _reasons(self, sums: Sums) -> list[dict[str, Any]]:
        unsuccessful = sums.failed + sums.expired
        return [
            {
                "code": code,
                "words": REASONS.get(code, ""),
                "count": grouped(count),
                "percent": 100 * count // unsuccessful,
                "url": self._payments(self._period, reason=code),
            }
            for code, count in sums.reasons.most_common(_REASONS_SHOWN)
        ]

    def _open(self) -> list[dict[str, Any]]:
        return [
            {
                "words": _age_words(above, upto),
                "count": count,
                "url": self._open_url(above, upto),
                "is_late": above is not None and above >= OPEN_LONG,
            }
            for above, upto, count in figures.open_by_age(self._now, self._provider)
        ]

    def _open_url(self, above: timedelta | None, upto: timedelta | None) -> str:
        if not self._links:
            return ""
        filters: dict[str, Any] = {"status__in": ",".join(sorted(LIVE))}
        if upto is not None:
            filters["created_at__gte"] = (self._now - upto).isoformat()
        if above is not None:
            filters["created_at__lt"] = (self._now - above).isoformat()
        if self._provider:
            filters["provider__code__exact"] = self._provider
        return list_url("payment", **filters)

    def _users(self) -> list[dict[str, Any]]:
        rows = figures.top_users(self._period, self._provider)
        return [
            {
                "name": row["name"],
                "count": grouped(row["count"]),
                "amount": display.amount(row["sum"], row["charged_currency"]),
                "url": self._payments(
                    self._period, "successful", user__exact=row["user"], charged_currency__exact=row["charged_currency"]
                ),
            }
            for row in rows
        ]

    # --- the machinery -------------------------------------------------------------------------------

    def _webhooks(self) -> dict[str, Any]:
        found = figures.webhooks(self._now)
        since = found.since.isoformat()
        lags = {f"lag_{share}": figures.share_of(found.lag_seconds, share / 100) for share in (50, 95)}
        return {
            "count": grouped(found.count),
            "url": list_url("webhookdelivery", received_at__gte=since),
            "unmatched": grouped(found.unmatched),
            "unmatched_url": list_url("webhookdelivery", received_at__gte=since, attempt__isempty=1, payout__isempty=1),
            "rejected": grouped(webhook_rejects.in_last_day(self._now)),
            "dropped": grouped(webhook_drops.read(self._now).day),
            **{name: display.EMPTY if lag is None else _seconds(round(lag)) for name, lag in lags.items()},
        }

    def _signs(self) -> list[overview.Sign]:
        if not may(self._request, "heartbeat"):
            return []
        beats = dict(Heartbeat.objects.values_list("name", "beat_at"))
        return [overview.worker_sign(beats, self._now), overview.gateway_sign(beats, self._now)]


def _chart(stacks: list[charts.Stack], first: str, last: str) -> dict[str, Any]:
    """The template's context of one chart; `first` and `last` stand under its ends."""
    columns = charts.columns(stacks)
    return {"columns": columns, "width": charts.WIDTH, "height": charts.HEIGHT, "ends": (first, last)}


def grouped(number: int) -> str:
    """`12 345`, with no-break spaces."""
    return f"{number:,}".replace(",", "\u00a0")


def _change(now: int, before: int) -> str:
    """`+12 %` against the period before; "" if there was nothing before."""
    return f"{round(100 * (now - before) / before):+d}\u00a0%" if before else ""


def _percent(value: int | None) -> str:
    return display.EMPTY if value is None else f"{value}\u00a0%"


def _within(sums: Sums, share: float) -> str:
    seconds = sums.settled_within(share)
    return display.EMPTY if seconds is None else _seconds(seconds)


def _seconds(number: int) -> str:
    """`45 s`, `90 s`, `5 min`, `1 h`: whole units where they are exact, else rounded down once they are many."""
    for unit, word, many in ((3600, "h", 7200), (60, "min", 600)):
        if number and (number % unit == 0 or number >= many):
            return f"{number // unit}\u00a0{word}"
    return f"{number}\u00a0s"


def _class_words(number: int) -> str:
    bounds = daily_totals.BOUNDS
    if number < len(bounds):
        return _("up to %(time)s") % {"time": _seconds(bounds[number])}
    return _("over %(time)s") % {"time": _seconds(bounds[-1])}


def _age_words(above: timedelta | None, upto: timedelta | None) -> str:
    if upto is None:
        assert above is not None  # noqa: S101 -- only one end of a class is open
        return _("over %(time)s") % {"time": _seconds(int(above.total_seconds()))}
    if above is None:
        return _("up to %(time)s") % {"time": _seconds(int(upto.total_seconds()))}
    return _("%(least)s to %(most)s") % {
        "least": _seconds(int(above.total_seconds())),
        "most": _seconds(int(upto.total_seconds())),
    }
