"""What happens in the shop when a payment succeeded, or when FeexPay took one back."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db.models import Sum
from django.utils import timezone

from django_feexpay.models import Payment
from shop.models import CoinEntry, CoinPack, Order
from shop.prices import coins_for, order_of

logger = logging.getLogger("shop")


def give_coins(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
    """Give the player the coins of the pack, or of the price in francs: a fee on top of it buys no coins.

    Where staff closed a review with less than the price (FeexPay took 4 999 of 5 000 F), the coins of that amount.
    Safe to repeat: yes. The signal may come twice, and `event_id` is unique: the second time nothing is added.
    """
    if payment.user is None:
        logger.warning("payment %s has no player any more: no coins given", payment.pk)
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


def note_reversal(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
    """Tell the shop's people that FeexPay took back what these coins were paid with. The coins stay: a player who was
    refunded by mistake has done nothing wrong, so taking them back is a person's decision.

    Safe to repeat: yes, it only tells.
    """
    coins = CoinEntry.objects.filter(payment=payment).aggregate(total=Sum("coins"))["total"] or 0
    logger.error("payment %s was reversed by FeexPay after %d coins were given: event %s", payment.pk, coins, event_id)


def _pack_of(payment: Payment) -> CoinPack | None:
    """The pack that was paid for, also if it is no longer for sale."""
    code = payment.metadata.get("pack")
    return None if code is None else CoinPack.objects.get(code=code)
