"""What each pack comes to with each provider, fee and all: the payer sees it before pressing the button."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django_feexpay.models import Provider
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.terms import Quote, quote_with
from shop.models import CoinPack


def totals(provider_codes: Iterable[str]) -> dict[str, dict[str, dict[str, int]]]:
    """By provider and pack: `total`, and the `fee` in it. A pack that a provider would not take is left out."""
    packs = list(CoinPack.objects.filter(active=True))
    rows = Provider.objects.filter(pk__in=list(provider_codes))
    return {row.pk: dict(_of(row, packs)) for row in rows}


def _of(provider: Provider, packs: Iterable[CoinPack]) -> Iterator[tuple[str, dict[str, int]]]:
    for pack in packs:
        try:
            quote = quote_with(provider, pack.price)
        except NotAllowedError:  # outside this provider's limits
            continue
        yield pack.code, {"total": quote.total, "fee": _on_top(quote)}


def _on_top(quote: Quote) -> int:
    """The fee where the payer bears it; the seller's fee is none of the payer's business."""
    return quote.total - quote.amount
