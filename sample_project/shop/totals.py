"""What each pack comes to with each provider, fee and all: the payer sees it before pressing the button."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django_feexpay import NotAllowedError, Quote, quote
from django_feexpay.models import Provider
from shop.models import CoinPack


def totals(provider_codes: Iterable[str]) -> dict[str, dict[str, dict[str, int]]]:
    """By provider and pack: `total`, and the `fee` in it. A pack that a provider would not take is left out."""
    packs = list(CoinPack.objects.filter(active=True))
    rows = Provider.objects.filter(pk__in=list(provider_codes))
    return {row.pk: dict(_of(row, packs)) for row in rows}


def _of(provider: Provider, packs: Iterable[CoinPack]) -> Iterator[tuple[str, dict[str, int]]]:
    for pack in packs:
        try:
            quoted = quote(provider=provider, amount=pack.price)
        except NotAllowedError:  # outside this provider's limits
            continue
        yield pack.code, {"total": quoted.total, "fee": _on_top(quoted)}


def _on_top(quoted: Quote) -> int:
    """The fee if the payer pays it on top of the price; 0 if the seller pays it."""
    return quoted.total - quoted.amount
