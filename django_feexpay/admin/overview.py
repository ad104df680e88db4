"""The front page of the back office: what waits for a person, and whether worker, comparison and providers are well.

A section stands there for staff who may view the list behind it, and every figure links to that list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay import conf
from django_feexpay.admin import display, saved_filters
from django_feexpay.admin.display import Tone
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.providers import enabled_badge, switched_off_badge
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.background import worker
from django_feexpay.conf import feexpay
from django_feexpay.models import Comparison, Heartbeat, Incident
from django_feexpay.monitoring import facts, provider_health, waiting
from django_feexpay.monitoring.measurements import Measurements
from django_feexpay.monitoring.provider_health import ProviderHealth, SuccessRate
from django_feexpay.monitoring.waiting import Waiting
from django_feexpay.payments import webhook_drops
from django_feexpay.payments.admission import circuit_breaker, trouble

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: The last part of the page's address and of its URL name.
NAME = "overview"
TITLE = gettext_lazy("Overview")

#: The models whose view permission opens a section of the page.
_MODELS = (
    "payment",
    "incident",
    "discrepancy",
    "refund",
    "payout",
    "reviewproposal",
    "outboxmessage",
    "alert",
    "heartbeat",
    "comparison",
    "provider",
)


@dataclass(frozen=True, slots=True)
class Card:
    """One figure with the list behind it. `money`: the sums, "" for none."""

    title: str | StrPromise
    value: int
    url: str
    money: SafeString | str = ""

    @property
    def tone(self) -> Tone:
        return Tone.BAD if self.value else Tone.QUIET


@dataclass(frozen=True, slots=True)
class Sign:
    """How one part of the background work is doing. `at`: the time that the words are about."""

    title: str | StrPromise
    state: SafeString
    url: str
    at: datetime | None = None
    text: str = ""


def may(request: HttpRequest, model: str) -> bool:
    """Whether this user may view the list of a model."""
    return request.user.has_perm(f"feexpay.view_{model}")


def may_open(request: HttpRequest) -> bool:
    """Whether the page would show this user anything."""
    return any(may(request, model) for model in _MODELS)


def page(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponse:
    """The front page. Raises: PermissionDenied for staff who may not see any of the sections."""
    if not may_open(request):
        raise PermissionDenied
    context = {
        **page_context(model_admin, request, TITLE),
        **sections(request),
    }
    return TemplateResponse(request, "admin/feexpay/overview/page.html", context)


def sections(request: HttpRequest) -> dict[str, Any]:
    """The template's context: what this user may see, in at most seven statements."""
    now = conf.now()
    cards = list(_cards(request, now))
    return {
        "looked_at": now,
        "dashboard_url": reverse("admin:feexpay_dailytotal_dashboard") if may(request, "dailytotal") else "",
        "cards": cards,
        "nothing_waits": bool(cards) and not any(card.value for card in cards),
        "signs": list(_signs(request, now)),
        "providers": _providers(request, now) if may(request, "provider") else None,
    }


def list_url(model: str, **filters: Any) -> str:
    """The address of a list with these filters."""
    address = reverse(f"admin:feexpay_{model}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


# --- what waits for a person -------------------------------------------------------------------------


def _cards(request: HttpRequest, now: datetime) -> Iterator[Card]:
    if may(request, "payment"):
        yield from _payment_cards(now)
    yield from _record_cards([model for model in waiting.RECORDS if may(request, model)])
    if may(request, "outboxmessage"):
        late = (now - facts.within("signals_late")).isoformat()
        url = list_url("outboxmessage", next_delivery_at__isempty=0, created_at__lt=late)
        yield Card(_("Signals not delivered"), waiting.signals(now), url)
    if may(request, "alert"):
        yield Card(_("Open alerts"), waiting.alerts(), list_url("alert", closed_at__isempty=1))


def _payment_cards(now: datetime) -> Iterator[Card]:
    reviews, too_long = waiting.payments(now)
    yield _card(_("Payments under review"), reviews, list_url("payment", status="review"))
    yield _card(_("Open for more than 15 minutes"), too_long, list_url("payment", show=saved_filters.STUCK))


def _record_cards(models: Sequence[str]) -> Iterator[Card]:
    found = waiting.records(models)
    for model in models:
        for what, title, filters in _RECORD_CARDS[model]:
            yield _card(str(title), found.get(what, Waiting()), list_url(model, **filters))


#: Of each kind of record: what `waiting.records` calls it, the title, and the filter of the list behind it.
_RECORD_CARDS: Mapping[str, Sequence[tuple[str, StrPromise, Mapping[str, Any]]]] = {
    "reviewproposal": [("reviewproposal", gettext_lazy("Decisions to approve"), {"outcome__exact": "open"})],
    "incident": [
        (
            Incident.Kind.DUPLICATE_CHARGE,
            gettext_lazy("Double charges to refund"),
            {"state": "open", "kind__exact": Incident.Kind.DUPLICATE_CHARGE},
        ),
        (
            Incident.Kind.REVERSED_AFTER_CREDIT,
            gettext_lazy("Credited, then taken back by FeexPay"),
            {"state": "open", "kind__exact": Incident.Kind.REVERSED_AFTER_CREDIT},
        ),
        (
            Incident.Kind.PAYOUT_UNDONE,
            gettext_lazy("Payouts that FeexPay undid"),
            {"state": "open", "kind__exact": Incident.Kind.PAYOUT_UNDONE},
        ),
    ],
    "refund": [("refund", gettext_lazy("Refunds to approve"), {"state__exact": "proposed"})],
    "payout": [("payout", gettext_lazy("Payouts with an unknown outcome"), {"state__exact": "unknown"})],
    "discrepancy": [
        (
            "discrepancy",
            gettext_lazy("Differences with money at stake"),
            {"state__exact": "open", "money_at_stake__exact": 1},
        )
    ],
}


def _card(title: str, found: Waiting, url: str) -> Card:
    return Card(title, found.count, url, sums_shown(found.sums))


def sums_shown(sums: Mapping[str, int]) -> SafeString | str:
    """The sum of each currency, the greatest first: `5 000 F CFA + 2 000 F CFA (XAF)`.

    XOF and XAF are both written F CFA, so beside each other XAF has its code.
    """
    codes = sorted(sums, key=lambda code: (-sums[code], code))
    mark = " (XAF)" if {"XOF", "XAF"} <= set(codes) else ""
    return format_html_join(
        " + ", "{}{}", ((display.amount(sums[code], code), mark * (code == "XAF")) for code in codes)
    )


# --- is everything running ---------------------------------------------------------------------------


def _signs(request: HttpRequest, now: datetime) -> Iterator[Sign]:
    if may(request, "heartbeat"):
        beats = dict(Heartbeat.objects.values_list("name", "beat_at"))
        yield worker_sign(beats, now)
        yield gateway_sign(beats, now)
    if may(request, "webhookdelivery"):
        yield _webhook_sign(now)
    if may(request, "comparison"):
        yield _comparison_sign(now)


def worker_sign(beats: Mapping[str, datetime], now: datetime) -> Sign:
    """Whether one of the two engines of the background work is alive."""
    title, url = _("Background work"), list_url("heartbeat")
    seen = [beats[name] for name in (worker.WORKER, worker.CLUSTER) if name in beats]
    if not seen:
        text = _("Start feexpay_worker: without it no payment is checked and no signal is sent.")
        return Sign(title, display.pill(_("Never started"), Tone.BAD), url, text=text)
    fact = facts.BY_NAME["worker_silent"]
    if not fact.is_trouble(Measurements(now, beats).worker_silence()[""]):
        return Sign(title, display.pill(_("At work"), Tone.GOOD), url, at=max(seen))
    text = f"{fact.words} {fact.advice}"
    return Sign(title, display.pill(_("Silent"), Tone.BAD), url, at=max(seen), text=text)


def gateway_sign(beats: Mapping[str, datetime], now: datetime) -> Sign:
    """Whether FeexPay takes our calls: its circuit, else its answer to the last probe."""
    title, url, answered_at = _("FeexPay"), list_url("heartbeat"), beats.get(worker.GATEWAY)
    since = circuit_breaker.open_since(()).get(circuit_breaker.GATEWAY)
    if since is not None:
        text = trouble.problem(circuit_breaker.GATEWAY)
        return Sign(title, display.pill(_("In trouble"), Tone.BAD), url, at=since, text=text)
    fact, silence = facts.BY_NAME["gateway_silent"], Measurements(now, beats).gateway_silence()
    if silence is None:
        return Sign(title, display.pill(_("Not asked yet"), Tone.QUIET), url)
    if fact.is_trouble(silence[""]):
        pill, text = display.pill(_("Does not answer"), Tone.BAD), str(fact.advice)
        return Sign(title, pill, url, at=answered_at, text=text)
    return Sign(title, display.pill(_("Answers"), Tone.GOOD), url, at=answered_at)


def _webhook_sign(now: datetime) -> Sign:
    """Whether webhooks are dropped because of their number."""
    title, url = _("Webhooks"), list_url("webhookdelivery", attempt__isempty=1)
    drops = webhook_drops.read(now)
    if not drops.lately:
        return Sign(title, display.pill(_("Normal"), Tone.GOOD), url)
    text = _("Dropped in the last hour: %(count)d. Payments go on. Block the sender at your proxy.")
    return Sign(title, display.pill(_("Flood"), Tone.BAD), url, text=text % {"count": drops.hour})


def _comparison_sign(now: datetime) -> Sign:
    title, url = _("Nightly comparison"), list_url("comparison", night__isempty=0)
    last = Comparison.objects.filter(night__isnull=False).order_by("-night").first()
    if last is None:
        off = feexpay.compare_at is None
        word = _("Switched off") if off else _("None yet")
        return Sign(title, display.pill(word, Tone.QUIET), url)
    at = last.finished_at or last.started_at
    if feexpay.compare_at is not None and now - at > facts.within("comparison_late"):
        return Sign(title, display.pill(_("Overdue"), Tone.BAD), url, at=at)
    tones = {Comparison.State.COMPLETE: Tone.GOOD, Comparison.State.RUNNING: Tone.WAITING}
    tone = tones.get(Comparison.State(last.state), Tone.DOUBT)
    text = _("Differences left open: %(count)d.") % {"count": last.open_count}
    url = reverse("admin:feexpay_comparison_change", args=[last.pk])
    return Sign(title, display.pill(last.get_state_display().capitalize(), tone), url, at=at, text=text)


# --- providers ---------------------------------------------------------------------------------------


def _providers(request: HttpRequest, now: datetime) -> dict[str, Any]:
    """The providers with payments or trouble of their own, and how many others are switched on."""
    since = {"hour": now - provider_health.HOUR, "day": now - provider_health.DAY}
    linked = may(request, "payment")
    every = provider_health.read(now)
    shown = [row for row in every if row.started or row.circuit == row.provider.pk]
    rows = []
    for row in shown:
        links = {name: _rate_url(row, at) if linked else "" for name, at in since.items()}
        rows.append(
            {
                "name": str(row.provider),
                "url": reverse("admin:feexpay_provider_change", args=[row.provider.pk]),
                "state": provider_state(row),
                "since": row.open_since,
                "hour": rate_shown(row.last_hour, links["hour"]),
                "day": rate_shown(row.last_day, links["day"]),
            }
        )
    return {"rows": rows, "idle": len(every) - len(shown), "url": list_url("provider", enabled__exact=1)}


def provider_state(row: ProviderHealth) -> SafeString:
    """The badge that the list of providers shows, too."""
    if not row.provider.enabled:
        return switched_off_badge(row.provider)
    return enabled_badge(row.circuit)


def rate_shown(rate: SuccessRate, url: str) -> SafeString | str:
    """`92 % (46 of 50)`, with a link to the payments that ended; a dash if none did."""
    if rate.percent is None:
        return display.EMPTY
    counts = _("%(succeeded)d of %(ended)d") % {"succeeded": rate.succeeded, "ended": rate.ended}
    text = format_html('<strong class="feexpay-line">{}\u00a0%</strong> <span>({})</span>', rate.percent, counts)
    return format_html('<a href="{}">{}</a>', url, text) if url else text


def _rate_url(row: ProviderHealth, since: datetime) -> str:
    return list_url(
        "payment",
        provider__code__exact=row.provider.pk,
        status__in=",".join(provider_health.ENDED),
        created_at__gte=since.isoformat(),
    )
