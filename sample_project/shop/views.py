"""The shop's API: what is for sale, and what a player has."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import User
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_feexpay.api.filters import refuse_unknown
from shop.models import CoinEntry, CoinPack

_NEWEST = 20


class ShopView(APIView):
    """No call of the shop takes a query string; one that comes is a mistake that must not be ignored."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        refuse_unknown(request, ())


class PacksView(ShopView):
    """GET → the packs for sale. Open to everybody: a shop window is looked at before signing in.

    `metadata` is what to send along to `initiate/` to buy that pack.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response([pack_as_json(pack) for pack in CoinPack.objects.filter(active=True)])


class BalanceView(ShopView):
    """GET → {"coins", "entries"}: what the player has, and where the last of it came from, newest first."""

    def get(self, request: Request) -> Response:
        player = cast(User, request.user)
        entries = CoinEntry.objects.filter(player=player).select_related("pack")[:_NEWEST]
        return Response(
            {
                "coins": CoinEntry.objects.balance_of(player),
                "entries": [_entry_as_json(entry) for entry in entries],
            }
        )


def pack_as_json(pack: CoinPack) -> dict[str, Any]:
    """`price` is an integer: the francs have no cents."""
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
