"""What things cost. The price is the shop's, never the client's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from shop.models import CoinPack, Order

#: A coin of a free top-up costs this many francs; packs give more coins for the same money.
FRANCS_PER_COIN = 10

#: The francs of West and of Central Africa are worth the same, and neither has cents.
FRANCS = ("XOF", "XAF")


def payable(*, user: Any, merchant_reference: str, amount: int, currency: str, metadata: Mapping[str, Any]) -> int:
    """What is owed: the price of the pack that `metadata` names, or with no pack any amount, as a free top-up.

    A reference that is an order's must be an open one of this player, and of this pack.
    A top-up may be in euros or dollars: it gives coins for the francs it comes to. Packs have their price in francs.
    Raises: ValidationError, in the words of the player's language.
    """
    _refuse_other_order(user, merchant_reference, metadata)
    if "pack" in metadata:
        if currency not in FRANCS:
            raise ValidationError(_("Packs are sold in F CFA only."))
        return _pack_for_sale(metadata["pack"]).price
    if currency in FRANCS and amount < FRANCS_PER_COIN:
        raise ValidationError(_("A coin costs %d F CFA.") % FRANCS_PER_COIN)
    return amount


def coins_for(amount: int) -> int:
    """How many coins a free top-up of `amount` francs gives."""
    return amount // FRANCS_PER_COIN


def _refuse_other_order(user: Any, merchant_reference: str, metadata: Mapping[str, Any]) -> None:
    order = order_of(merchant_reference)
    if order is None:
        return
    if order.player != user or order.paid_at is not None or order.pack.code != metadata.get("pack"):
        raise ValidationError(_("This is no open order of yours for this pack."))


def order_of(merchant_reference: str) -> Order | None:
    """The order with that id; other references are a client's own."""
    try:
        order_id = UUID(merchant_reference)
    except ValueError:
        return None
    return Order.objects.select_related("pack").filter(pk=order_id).first()


def _pack_for_sale(code: object) -> CoinPack:
    if not isinstance(code, str):
        raise ValidationError(_("metadata.pack must be the code of a pack, as text."))
    pack = CoinPack.objects.filter(code=code, active=True).first()
    if pack is None:
        raise ValidationError(_("There is no such pack: GET /api/v1/shop/packs/ lists them."))
    return pack
