"""Sums of payments by day, kept by the background work. They can always be counted again from the payments."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.primary import PrimaryModel
from django_feexpay.models.provider import Provider
from django_feexpay.models.record_names import day, joined


class DailyTotal(PrimaryModel):
    """The payments that were started on one day of the shop's time zone, by provider and charged currency.

    `failed`: declined or refused. `amount`: what was credited; `fee`: of the successful ones. What is missing to
    `started` is open or under review. `settle_counts`: the successful ones by their seconds from start to credit, one
    count for each of `payments.daily_totals.BOUNDS` and one for the longer ones. `reasons`: the count of each reason
    code of those that did not succeed.
    """

    day = models.DateField(_("day"))
    provider = models.ForeignKey(
        Provider, verbose_name=_("provider"), on_delete=models.PROTECT, related_name="daily_totals", db_index=False
    )
    currency = models.CharField(_("currency"), max_length=3)
    started = models.PositiveIntegerField(_("started"), default=0)
    succeeded = models.PositiveIntegerField(_("succeeded"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    expired = models.PositiveIntegerField(_("expired"), default=0)
    amount = models.BigIntegerField(_("amount"), default=0)
    fee = models.BigIntegerField(_("fee"), default=0)
    settle_counts = models.JSONField(_("seconds to settle"), default=list)
    reasons = models.JSONField(_("reasons"), default=dict, blank=True)

    class Meta:
        verbose_name = _("daily total")
        verbose_name_plural = _("daily totals")
        ordering = ("-day", "provider", "currency")
        default_permissions = ("view",)
        constraints = (models.UniqueConstraint(fields=("day", "provider", "currency"), name="feexpay_total_of_a_day"),)

    def __str__(self) -> str:
        return joined(day(self.day), self.provider_id and self.provider, self.currency)


class TotalsCursor(PrimaryModel):
    """How far the events have been counted: one row. `claimed_at`: when a process last began to count.

    `time_zone`: the one whose days were counted; after a change of TIME_ZONE all days are counted again.
    """

    event_id = models.BigIntegerField(_("last event counted"), default=0)
    time_zone = models.CharField(_("time zone"), max_length=64)
    claimed_at = models.DateTimeField(_("begun at"))
    counted_at = models.DateTimeField(_("counted at"))

    class Meta:
        verbose_name = _("state of the daily totals")
        verbose_name_plural = _("states of the daily totals")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.event_id)
