"""The shop's admin. Coins are read-only here, because only payments give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from knox.models import AuthToken

from shop.models import CoinEntry, CoinPack, Order

if TYPE_CHECKING:
    PackAdmin = admin.ModelAdmin[CoinPack]
    EntryAdmin = admin.ModelAdmin[CoinEntry]
    OrdersAdmin = admin.ModelAdmin[Order]
    TokensAdmin = admin.ModelAdmin[AuthToken]
else:
    PackAdmin = EntryAdmin = OrdersAdmin = TokensAdmin = admin.ModelAdmin


@admin.register(CoinPack)
class CoinPackAdmin(PackAdmin):
    """Staff may rename, reorder and deactivate a pack; its code, coins and price stay as sold."""

    list_display = ("name", "code", "coins", "price", "active", "position")
    list_filter = ("active",)

    def get_readonly_fields(self, request: HttpRequest, obj: CoinPack | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code", "coins", "price")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(CoinEntry)
class CoinEntryAdmin(EntryAdmin):
    list_display = ("created_at", "player", "coins", "pack", "payment")
    list_filter = ("pack", "created_at")
    list_select_related = ("player", "pack", "payment")
    search_fields = ("player__username", "payment__id")
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Order)
class OrderAdmin(OrdersAdmin):
    list_display = ("created_at", "player", "pack", "paid_at")
    list_filter = ("pack", "created_at")
    list_select_related = ("player", "pack")
    search_fields = ("player__username", "id")
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


# Knox's own page makes a token of any player and shows it: staff could sign in as that player.
admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class TokenAdmin(TokensAdmin):
    """Staff may only revoke a token, by deleting it."""

    list_display = ("user", "created", "expiry")
    list_select_related = ("user",)
    search_fields = ("user__username",)
    fields = list_display
    date_hierarchy = "created"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
