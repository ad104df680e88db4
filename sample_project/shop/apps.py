"""Wiring: what the shop does when FeexPay's money arrived."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ShopConfig(AppConfig):
    name = "shop"
    verbose_name = _("Coin shop")

    def ready(self) -> None:
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_save, pre_save

        from django_feexpay.signals import payment_reversed, payment_succeeded
        from shop import openapi  # noqa: F401 -- describes the shop's calls
        from shop.receivers import give_coins, note_reversal
        from shop.tokens import end_tokens, note_change

        payment_succeeded.connect(give_coins, dispatch_uid="shop_give_coins")
        pre_save.connect(note_change, sender=get_user_model(), dispatch_uid="shop_note_change")
        post_save.connect(end_tokens, sender=get_user_model(), dispatch_uid="shop_end_tokens")
        payment_reversed.connect(note_reversal, dispatch_uid="shop_note_reversal")
