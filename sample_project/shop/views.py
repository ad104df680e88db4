"""The shop's API: packs, orders and balance."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_feexpay.models import Payment
from django_feexpay.rest import StrictInput, StrictString, refuse_unknown
from shop.models import CoinEntry, CoinPack, Order

_NEWEST = 20


class ShopView(APIView):
    """Refuses any query string: no call of the shop takes one, so it is a mistake of the client."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        refuse_unknown(request, ())


class PacksView(ShopView):
    """GET → the packs for sale, also without signing in.

    To buy a pack, send its `metadata` along to `initiate/`.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response([pack_as_json(pack) for pack in CoinPack.objects.filter(active=True)])


class BalanceView(ShopView):
    """GET → {"coins", "entries"}: the player's balance and its newest entries first."""

    def get(self, request: Request) -> Response:
        player = cast(User, request.user)
        entries = CoinEntry.objects.filter(player=player).select_related("pack")[:_NEWEST]
        return Response(
            {
                "coins": CoinEntry.objects.balance_of(player),
                "entries": [_entry_as_json(entry) for entry in entries],
            }
        )


class OrderInput(StrictInput):
    pack = StrictString(max_length=32)


class OrdersView(ShopView):
    """GET → the player's orders with a pending payment, newest first.

    POST {"pack"} → the player's open order for that pack, created if there is none. `id` is the `merchant_reference`
    of its payment. `payment_id` is set when a payment is pending or paid: follow that one and start none.
    """

    def get(self, request: Request) -> Response:
        orders = Order.objects.filter(player=cast(User, request.user), paid_at=None).select_related("pack")
        shown = [_order_as_json(order) for order in orders]
        return Response([order for order in shown if order["payment_id"]])

    def post(self, request: Request) -> Response:
        given = OrderInput(data=request.data)
        given.is_valid(raise_exception=True)
        pack = get_object_or_404(CoinPack, code=given.validated_data["pack"], active=True)
        order, _ = Order.objects.get_or_create(player=cast(User, request.user), pack=pack, paid_at=None)
        return Response(_order_as_json(order))


def _order_as_json(order: Order) -> dict[str, Any]:
    payment = Payment.objects.of_order(order.player_id, str(order.pk)).order_by("-created_at").first()
    return {
        "id": order.pk,
        "pack": order.pack.code,
        "price": order.pack.price,
        "payment_id": None if payment is None else payment.pk,
    }


def pack_as_json(pack: CoinPack) -> dict[str, Any]:
    """`price` is an integer, as francs have no cents."""
    return {
        "code": pack.code,
        "name": pack.name,
        "coins": pack.coins,
        "price": pack.price,
        "currency": "XOF",
        "metadata": {"pack": pack.code},
    }


def _entry_as_json(entry: CoinEntry) -> dict[str, Any]:
    return {
        "coins": entry.coins,
        "pack": entry.pack.code if entry.pack else None,
        "payment_id": entry.payment_id,
        "created_at": entry.created_at,
    }
