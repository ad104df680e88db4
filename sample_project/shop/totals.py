"""What each offer costs with each provider, fee included: the payer sees it before pressing the button."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.conf import settings

from django_feexpay import NotAllowedError, Quote, quote
from django_feexpay.models import Provider
from shop.models import CoinPack
from shop.orders import coins_for

#: The price in cents of the top-up in dollars, and its key in the totals.
DOLLAR_CENTS, IN_DOLLARS = 500, "usd"


def totals(provider_codes: Iterable[str]) -> dict[str, dict[str, dict[str, int]]]:
    """By provider and offer: `total` and the `fee` in it, both in francs, and for dollars also the `coins`.

    An offer is left out where the provider would refuse it, and dollars where there is no exchange rate.
    """
    packs = list(CoinPack.objects.filter(active=True))
    rows = Provider.objects.filter(pk__in=list(provider_codes))
    return {row.pk: dict(_of(row, packs)) for row in rows}


def _of(provider: Provider, packs: Iterable[CoinPack]) -> Iterator[tuple[str, dict[str, int]]]:
    for pack in packs:
        if quoted := _quoted(provider, pack.price):
            yield pack.code, {"total": quoted.total, "fee": _fee_on_top(quoted)}
    if quoted := _quoted(provider, DOLLAR_CENTS, "USD"):
        fee = _fee_on_top(quoted)
        yield IN_DOLLARS, {"total": quoted.total, "fee": fee, "coins": coins_for(quoted.total - fee)}


def _quoted(provider: Provider, amount: int, currency: str = "") -> Quote | None:
    try:
        return quote(provider=provider, amount=amount, currency=currency)
    except NotAllowedError:  # outside this provider's limits, or no exchange rate
        return None


def _fee_on_top(quoted: Quote) -> int:
    """The fee in the total; 0 where the shop pays it out of the price."""
    return quoted.fee if settings.FEEXPAY.get("FEE_PAYER") == "payer" else 0
