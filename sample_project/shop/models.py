"""What the shop sells, and who owns how many coins."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class CoinPack(models.Model):
    """Coins at a price. A pack never changes: to change an offer, deactivate it and add another.

    So a paid pack always gives the coins that were promised when the payment started.
    """

    code = models.SlugField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)
    coins = models.PositiveIntegerField(_("coins"))
    price = models.PositiveIntegerField(_("price"), help_text=_("In F CFA, which has no cents."))
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    active = models.BooleanField(_("for sale"), default=True)

    class Meta:
        verbose_name = _("coin pack")
        verbose_name_plural = _("coin packs")
        ordering = ("position", "code")
        constraints = (models.CheckConstraint(name="shop_pack_worth", condition=Q(coins__gt=0) & Q(price__gt=0)),)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """A player's order of a pack. Its id is the `merchant_reference` of its payments, so one order is paid once.

    A player has at most one open order for each pack, so a page that is reloaded or opened twice gets the same order.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    player = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("player"), on_delete=models.PROTECT, related_name="coin_orders"
    )
    pack = models.ForeignKey(CoinPack, verbose_name=_("coin pack"), on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    paid_at = models.DateTimeField(_("paid at"), null=True, blank=True)

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        ordering = ("-created_at", "id")
        constraints = (
            models.UniqueConstraint(
                name="shop_one_open_order", fields=("player", "pack"), condition=Q(paid_at__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.player}: {self.pack}"


class CoinEntryQuerySet(models.QuerySet["CoinEntry"]):
    def balance_of(self, player: Any) -> int:
        """The sum of a player's entries."""
        total: int | None = self.filter(player=player).aggregate(total=Sum("coins"))["total"]
        return total or 0


class CoinEntry(models.Model):
    """Coins that a player received. Entries are only added; the balance is their sum.

    `event_id` comes with the event of django_feexpay: an event that is delivered twice makes one entry.
    """

    player = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("player"), on_delete=models.PROTECT, related_name="coin_entries"
    )
    coins = models.PositiveIntegerField(_("coins"))
    payment = models.ForeignKey(
        "feexpay.Payment", verbose_name=_("payment"), on_delete=models.PROTECT, related_name="+"
    )
    pack = models.ForeignKey(
        CoinPack, verbose_name=_("coin pack"), null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    event_id = models.UUIDField(_("event id"), unique=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    objects = CoinEntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("coin entry")
        verbose_name_plural = _("coin entries")
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return f"{self.player}: +{self.coins}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("coin entries are only added, never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("coin entries are never deleted")
