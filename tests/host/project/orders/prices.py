from __future__ import annotations

from typing import Any


def price(*, merchant_reference: str, **terms: Any) -> int:
    from orders.models import Order

    return Order.objects.get(pk=int(merchant_reference)).price
