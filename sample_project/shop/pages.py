"""The shop's pages for people. They hold no secret but a demo account's, and work without anything from outside."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_feexpay.models import Provider
from shop.models import CoinPack
from shop.prices import FRANCS_PER_COIN
from shop.totals import totals

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Numbers that end so have no script at the sandbox: it waits for somebody to approve on the payer's phone.
_WAITS_FOR_PAGE = "50"

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
    """GET: what this is, what it sells, and a form that buys through the same API as any client."""
    providers = _push_providers()
    context = {
        "packs": _packs(),
        "providers": providers,
        "totals": totals(provider["code"] for provider in providers),
        "francs_per_coin": FRANCS_PER_COIN,
        "texts": _script_texts(),
        "wiring": _wiring(),
        **_demo(),
    }
    return render(request, "shop/home.html", context)


@require_safe
@_own_assets_only
def api_by_example(request: HttpRequest) -> HttpResponse:
    """GET: the whole journey as lines for a terminal, with this server's own address in them."""
    providers = _push_providers()
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


def _push_providers() -> list[dict[str, str]]:
    """The providers whose payers approve on their phone, each with a number to try; Benin's first."""
    french = get_language() == "fr"
    return [
        {
            "code": row.code,
            "name": f"{row.name} – {row.spec.country_name_fr if french else row.spec.country_name_en}",
            "phone": row.spec.phone.example[: -len(_WAITS_FOR_PAGE)] + _WAITS_FOR_PAGE,
        }
        for row in sorted(Provider.objects.filter(flow="push"), key=_benin_first)
        if row.is_available and row.spec.phone is not None
    ]


def _benin_first(row: Provider) -> tuple[bool, bool, str, str]:
    return row.code != "mtn_bj", row.spec.country != "BJ", row.spec.country_name_en, row.name


def _wiring() -> dict[str, str]:
    """What home.js has to know of this server."""
    return {
        "token": "/api/v1/auth/token/",
        "balance": "/api/v1/shop/balance/",
        "payments": "/api/v1/payments/feexpay/",
        "sandbox": settings.DEMO_SANDBOX_URL,
    }


def _script_texts() -> dict[str, str]:
    """What home.js says, by the payment's `detail` and for its own troubles."""
    return {
        "signing_in": _("Signing in…"),
        "starting": _("Asking for the payment…"),
        "queued": _("Waiting to be sent."),
        "waiting_for_payer": _("Approve the payment on your phone."),
        "otp_required": _("This provider asks for a code, which this page does not take."),
        "redirect": _("This provider has a page of its own, which this page does not open."),
        "checking": _("Checking with the provider. Do not pay again."),
        "under_review": _("Our staff is looking at this payment. Do not pay again."),
        "credited": _("Paid. Your coins are on their way."),
        "coins_given": _("Paid. The coins are yours."),
        "refused": _("The payment was refused."),
        "declined": _("The payment was declined."),
        "expired": _("Nobody approved in time."),
        "unreachable": _("The shop does not answer. Press the button again: you cannot pay twice."),
        "coins": _("coins"),
        "fee": _("{fee} of it is the provider's fee."),
    }
