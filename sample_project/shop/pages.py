"""The shop's HTML pages. They load nothing from other servers, and payers pay on the pages of the checkout."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from django_feexpay import NotAllowedError, ProviderCode, PublicStatus, checkout_url, quote, read_return
from django_feexpay.models import Payment, Provider
from shop.models import CoinEntry, CoinPack, Order
from shop.orders import FRANCS_PER_COIN
from shop.sign_in import LimitedSignInForm

#: For numbers with this ending the sandbox waits for an approval on the payer's phone.
_WAITS_FOR_APPROVAL = "50"
#: The price in cents of the top-up in dollars, and its code in the form.
DOLLAR_CENTS, IN_DOLLARS = 500, "usd"
_TOP_UP = "top_up"


@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """GET: the packs. A player who is not signed in does so with the same button."""
    return _home(request, LimitedSignInForm(request))


def _home(request: HttpRequest, form: LimitedSignInForm, *, problem: str = "", status: int = 200) -> HttpResponse:
    player = _player(request)
    context = {
        "packs": _packs(),
        "chosen": request.POST.get("pack", ""),
        "dollar_price": Decimal(DOLLAR_CENTS) / 100,
        "in_dollars": IN_DOLLARS if _sells_for_dollars() else "",
        "francs_per_coin": FRANCS_PER_COIN,
        "form": form,
        "problem": problem,
        "balance": None if player is None else CoinEntry.objects.balance_of(player),
    }
    return render(request, "shop/home.html", context, status=status)


@dataclass(frozen=True, kw_only=True)
class _Offer:
    """What a player buys, for `checkout_url`."""

    reference: str
    amount: int
    currency: str
    description: str
    metadata: dict[str, str]


@never_cache
@require_POST
@sensitive_post_parameters("password")
def buy(request: HttpRequest) -> HttpResponse:
    """POST {pack}, with the account of a player who is not signed in: go to the checkout of the player's order."""
    form = LimitedSignInForm(request, data=request.POST)
    player = _player(request)
    if player is None:
        if not form.is_valid():
            return _home(request, form, status=form.status if form.wait_seconds else 422)
        player = form.get_user()
        login(request, player)
    offer = _offer(request, player)
    if offer is None:
        return _home(request, LimitedSignInForm(request), problem=_("Choose a pack that is for sale."), status=422)
    address = checkout_url(
        player,
        offer.reference,
        offer.amount,
        reverse("return"),
        currency=offer.currency,
        description=offer.description,
        metadata=offer.metadata,
        cancel_url=reverse("home"),
    )
    return HttpResponseRedirect(address)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """POST: sign out."""
    logout(request)
    return redirect("home")


@never_cache
@require_safe
def payment_return(request: HttpRequest) -> HttpResponse:
    """GET: where a payer comes back to from the checkout. Only the signed part of the address counts."""
    payment = read_return(request)
    entry = CoinEntry.objects.filter(payment=payment).first() if payment else None
    is_own = payment is not None and payment.user_id is not None and payment.user_id == request.user.pk
    context = {
        "payment": payment,
        "is_paid": payment is not None and payment.public_status is PublicStatus.SUCCESSFUL,
        "is_failed": payment is not None and payment.public_status is PublicStatus.FAILED,
        "entry": entry,
        "balance": CoinEntry.objects.balance_of(request.user) if entry and is_own else None,
    }
    return render(request, "shop/return.html", context)


@never_cache
@require_safe
def app_return(request: HttpRequest) -> HttpResponse:
    """GET: the page that leads a payer of the Kivy client back into the app. It tells nothing about the payment."""
    return render(request, "shop/app_return.html", {"app_link": f"{settings.CLIENT_SCHEME}://return"})


@require_safe
def api_by_example(request: HttpRequest) -> HttpResponse:
    """GET: one purchase as commands for a terminal, with the address of this server."""
    context = {
        "root": request.build_absolute_uri("/api/v1"),
        "pack": CoinPack.objects.filter(active=True).first(),
        "provider": _provider_of_the_example(),
    }
    return render(request, "shop/api.html", context)


def _player(request: HttpRequest) -> User | None:
    return request.user if request.user.is_authenticated else None


def _offer(request: HttpRequest, player: User) -> _Offer | None:
    """The player's open order of the chosen pack, or a top-up in dollars; None for anything else."""
    code = request.POST.get("pack", "")
    if code == IN_DOLLARS:
        description = _("Coins for dollars")
        return _Offer(
            reference=_top_up(request, player),
            amount=DOLLAR_CENTS,
            currency="USD",
            description=description,
            metadata={},
        )
    pack = CoinPack.objects.filter(code=code, active=True).first()
    if pack is None:
        return None
    order, _created = Order.objects.get_or_create(player=player, pack=pack, paid_at=None)
    description = _("%(pack)s: %(coins)d coins") % {"pack": pack.name, "coins": pack.coins}
    return _Offer(
        reference=str(order.pk),
        amount=pack.price,
        currency="",
        description=description,
        metadata={"pack": pack.code},
    )


def _top_up(request: HttpRequest, player: User) -> str:
    """The reference of this browser's top-up: the same one until it is paid, so that no reload pays twice."""
    reference = request.session.get(_TOP_UP, "")
    mine = Payment.objects.filter(user=player, merchant_reference=reference)
    if not reference or any(payment.public_status is PublicStatus.SUCCESSFUL for payment in mine):
        reference = request.session[_TOP_UP] = f"top-up {uuid4()}"
    return str(reference)


def _packs() -> list[dict[str, Any]]:
    """The packs for sale; `best` marks the one with the most coins for the money."""
    packs = list(CoinPack.objects.filter(active=True))
    best = max(packs, key=lambda pack: pack.coins / pack.price, default=None)
    return [{"pack": pack, "best": pack == best} for pack in packs]


def _sells_for_dollars() -> bool:
    """Whether there is an exchange rate at the moment."""
    try:
        quote(provider=ProviderCode.MTN_BJ, amount=DOLLAR_CENTS, currency="USD")
    except NotAllowedError:
        return False
    return True


def _provider_of_the_example() -> dict[str, str] | None:
    """A provider that prompts the payer's phone, Benin's first, with a number that waits for an approval."""
    rows = Provider.objects.filter(pk__in=list(ProviderCode)).order_by("pk")
    pushing = [row for row in rows if row.is_available and row.spec.flow == "push" and row.spec.phone]
    row = min(pushing, key=lambda row: (row.pk != "mtn_bj", row.spec.country != "BJ"), default=None)
    if row is None or row.spec.phone is None:
        return None
    return {"code": row.pk, "phone": row.spec.phone.example[: -len(_WAITS_FOR_APPROVAL)] + _WAITS_FOR_APPROVAL}
