"""The price of coins, and what the shop does when they were paid: FEEXPAY["PAYABLE"] names `Orders`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from django_feexpay import Payable
from django_feexpay.models import Payment
from shop.models import CoinEntry, CoinPack, Order

logger = logging.getLogger("shop")

#: A coin of a free top-up costs this many francs; packs give more coins for the same money.
FRANCS_PER_COIN = 10

#: The francs of West and of Central Africa are worth the same, and neither has cents.
FRANCS = ("XOF", "XAF")


class Orders(Payable):
    """Packs at their price, and free top-ups of any amount. The price is the shop's, never the client's."""

    def price(
        self, *, user: Any, merchant_reference: str, amount: int, currency: str, metadata: Mapping[str, Any]
    ) -> int:
        """The price of the pack that `metadata` names; without a pack the amount itself, as a free top-up.

        If the reference is the id of an order, that order must be open, of this player and for this pack.
        A top-up may be in euros or dollars: it gives coins for the francs it converts to. Packs are priced in francs.
        Raises: ValidationError in the player's language.
        """
        _refuse_other_order(user, merchant_reference, metadata)
        if "pack" in metadata:
            if currency not in FRANCS:
                raise ValidationError(_("Packs are sold in F CFA only."))
            return _pack_for_sale(metadata["pack"]).price
        if currency in FRANCS and amount < FRANCS_PER_COIN:
            raise ValidationError(_("A coin costs %d F CFA.") % FRANCS_PER_COIN)
        return amount

    def paid(self, payment: Payment, event_id: UUID) -> None:
        """Give the player the coins of the pack, or of a free top-up: its price in francs buys coins, a fee does not.

        If staff credited less than the price after a review (4 999 of 5 000 F), that amount buys coins as a top-up.
        Safe to repeat: yes. The event may come twice, and `event_id` is unique: the second time adds nothing.
        """
        if payment.user is None:
            logger.warning("payment %s: its player was deleted, no coins given", payment.pk)
            return
        credited = payment.credit.amount
        is_short = credited < payment.charged_price
        pack = None if is_short else _pack_of(payment)
        CoinEntry.objects.get_or_create(
            event_id=event_id,
            defaults={
                "player": payment.user,
                "payment": payment,
                "pack": pack,
                "coins": pack.coins if pack else coins_for(min(credited, payment.charged_price)),
            },
        )
        if order := order_of(payment.merchant_reference):
            Order.objects.filter(pk=order.pk, player=payment.user, paid_at=None).update(paid_at=timezone.now())

    def reversed(self, payment: Payment, event_id: UUID) -> None:
        """Log for staff that FeexPay took back the money of these coins. The player keeps the coins: a refund by
        mistake is not the player's fault, so a person decides.

        Safe to repeat: yes, it only logs.
        """
        coins = CoinEntry.objects.filter(payment=payment).aggregate(total=Sum("coins"))["total"] or 0
        logger.error(
            "payment %s was reversed by FeexPay after %d coins were given: event %s", payment.pk, coins, event_id
        )

    def admin_url(self, payment: Payment, staff: Any) -> str:
        """The coins that the payment gave, else its order."""
        entry = CoinEntry.objects.filter(payment=payment).first()
        if entry is not None and staff.has_perm("shop.view_coinentry"):
            return reverse("admin:shop_coinentry_change", args=[entry.pk])
        order = order_of(payment.merchant_reference)
        if order is not None and staff.has_perm("shop.view_order"):
            return reverse("admin:shop_order_change", args=[order.pk])
        return ""


def coins_for(amount: int) -> int:
    """How many coins a free top-up of `amount` francs gives."""
    return amount // FRANCS_PER_COIN


def order_of(merchant_reference: str) -> Order | None:
    """The order with that id, or None: a client may use other references of its own."""
    try:
        order_id = UUID(merchant_reference)
    except ValueError:
        return None
    return Order.objects.select_related("pack").filter(pk=order_id).first()


def _refuse_other_order(user: Any, merchant_reference: str, metadata: Mapping[str, Any]) -> None:
    order = order_of(merchant_reference)
    if order and (order.player != user or order.paid_at is not None or order.pack.code != metadata.get("pack")):
        raise ValidationError(_("You have no open order for this pack."))


def _pack_for_sale(code: object) -> CoinPack:
    if not isinstance(code, str):
        raise ValidationError(_("metadata.pack must be the code of a pack, as text."))
    pack = CoinPack.objects.filter(code=code, active=True).first()
    if pack is None:
        raise ValidationError(_("There is no such pack: GET /api/v1/shop/packs/ lists them."))
    return pack


def _pack_of(payment: Payment) -> CoinPack | None:
    """The pack that was paid for, also if it is no longer for sale."""
    code = payment.metadata.get("pack")
    return None if code is None else CoinPack.objects.get(code=code)
