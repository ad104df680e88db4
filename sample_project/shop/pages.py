"""The shop's HTML pages. They load nothing from other servers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_feexpay import ProviderCode
from django_feexpay.models import Provider
from shop.models import CoinPack
from shop.orders import FRANCS_PER_COIN
from shop.totals import DOLLAR_CENTS, IN_DOLLARS, totals

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: For numbers with this ending the sandbox waits for an approval on the payer's phone.
_WAITS_FOR_APPROVAL = "50"

Page = Callable[[HttpRequest], HttpResponse]


def _own_assets_only(page: Page) -> Page:
    @wraps(page)
    def guarded(request: HttpRequest) -> HttpResponse:
        response = page(request)
        response["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
        return response

    return guarded


@never_cache
@require_safe
@_own_assets_only
def home(request: HttpRequest) -> HttpResponse:
    """GET: the packs, and a form that buys through the public API."""
    providers = _providers()
    known = totals(provider["code"] for provider in providers)
    context = {
        "packs": _packs(),
        "dollars": next((offers[IN_DOLLARS] for offers in known.values() if IN_DOLLARS in offers), None),
        "dollar_price": Decimal(DOLLAR_CENTS) / 100,
        "dollar_cents": DOLLAR_CENTS,
        "provider_groups": _grouped(providers),
        "totals": known,
        "francs_per_coin": FRANCS_PER_COIN,
        "texts": _script_texts(),
        "addresses": _addresses(),
        **_demo(),
    }
    return render(request, "shop/home.html", context)


@never_cache
@require_safe
@_own_assets_only
def payment_return(request: HttpRequest) -> HttpResponse:
    """GET: the page that a provider sends its payer back to. It ignores its query string and asks the API."""
    return render(request, "shop/return.html", {"texts": _script_texts(), "addresses": _addresses(), **_demo()})


@require_safe
@_own_assets_only
def api_by_example(request: HttpRequest) -> HttpResponse:
    """GET: one purchase as commands for a terminal, with the address of this server."""
    providers = [provider for provider in _providers() if provider["flow"] == "push"]
    context = {
        "root": request.build_absolute_uri("/api/v1"),
        "pack": CoinPack.objects.filter(active=True).first(),
        "provider": providers[0] if providers else None,
        **_demo(),
    }
    return render(request, "shop/api.html", context)


def _demo() -> dict[str, str]:
    return {
        "sandbox_url": settings.DEMO_SANDBOX_URL,
        "demo_username": settings.DEMO_USERNAME,
        "demo_password": settings.DEMO_PASSWORD,
    }


def _packs() -> list[dict[str, Any]]:
    """The packs for sale; `best` marks the one with the most coins for the money."""
    packs = list(CoinPack.objects.filter(active=True))
    best = max(packs, key=lambda pack: pack.coins / pack.price, default=None)
    return [{"pack": pack, "best": pack == best} for pack in packs]


def _providers() -> list[dict[str, Any]]:
    """The available providers, Benin's first, each with an example number and instructions for its payer."""
    rows = Provider.objects.filter(pk__in=list(ProviderCode))
    return [_offered(row) for row in sorted(rows, key=_sort_key) if row.is_available]


def _offered(row: Provider) -> dict[str, Any]:
    spec, french = row.spec, get_language() == "fr"
    country = spec.country_name_fr if french else spec.country_name_en
    example = spec.phone.example if spec.phone else ""
    return {
        "code": row.code,
        "name": f"{row.name} – {country}" if country else row.name,
        "group": country or _("Cards"),
        "flow": spec.flow,
        "phone": example and example[: -len(_WAITS_FOR_APPROVAL)] + _WAITS_FOR_APPROVAL,
        "otp": spec.needs_otp_first,
        "page": spec.flow == "hosted" or "redirect" in spec.flows,
        "says": spec.instructions_fr if french else spec.instructions_en,
    }


def _grouped(providers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"label": label, "providers": list(rows)} for label, rows in groupby(providers, itemgetter("group"))]


def _sort_key(row: Provider) -> tuple[bool, bool, bool, str, str]:
    country = row.spec.country
    return row.code != "mtn_bj", country != "BJ", country is None, row.spec.country_name_en, row.name


def _addresses() -> dict[str, str]:
    return {
        "token": "/api/v1/auth/token/",
        "balance": "/api/v1/shop/balance/",
        "orders": reverse("orders"),
        "payments": "/api/v1/payments/feexpay/",
        "returnPage": reverse("return"),
        "sandbox": settings.DEMO_SANDBOX_URL,
    }


def _script_texts() -> dict[str, str]:
    """The texts of the scripts: one for each `detail` of a payment, and their own errors."""
    return {
        "signing_in": _("Signing in…"),
        "starting": _("Starting the payment…"),
        "queued": _("Waiting to be sent."),
        "waiting_for_payer": _("Approve the payment on your phone."),
        "otp_required": _("Enter the code you received by SMS."),
        "redirect": _("Finish on the payment page, then come back here."),
        "checking": _("Checking with the provider. Do not pay again."),
        "under_review": _("Our staff is checking this payment. Do not pay again."),
        "credited": _("Paid. Your coins are on their way."),
        "coins_given": _("Paid. The coins are yours."),
        "refused": _("The payment was refused."),
        "declined": _("The payment was declined."),
        "expired": _("The payment was not approved in time."),
        "under_way": _("A payment is under way. Sign in and press the button to see it: you cannot pay twice."),
        "unreachable": _("The shop does not answer. Press the button again: you cannot pay twice."),
        "forgotten": _("This tab has no payment. If you paid, your coins will still arrive."),
        "coins": _("coins"),
        "fee": _("This includes the provider's fee of {fee}."),
    }
