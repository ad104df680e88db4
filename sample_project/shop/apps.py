"""Signal receivers that revoke tokens. `orders.Orders` handles the events of payments."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ShopConfig(AppConfig):
    name = "shop"
    verbose_name = _("Coin shop")

    def ready(self) -> None:
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_save, pre_save

        from shop import openapi  # noqa: F401 -- describes the shop's calls
        from shop.tokens import detect_account_change, revoke_tokens

        pre_save.connect(detect_account_change, sender=get_user_model(), dispatch_uid="shop_detect_account_change")
        post_save.connect(revoke_tokens, sender=get_user_model(), dispatch_uid="shop_revoke_tokens")
