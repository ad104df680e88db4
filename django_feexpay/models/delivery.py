"""Webhook deliveries, redacted."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.fields import HASH_LENGTH
from django_feexpay.models.payment import Attempt
from django_feexpay.models.payout import Payout
from django_feexpay.models.primary import PrimaryModel, PrimaryQuerySet
from django_feexpay.models.record_names import joined

#: Repeats are counted up to this number, so that a flood of one webhook does not write its row forever.
MAX_REPEATS = 1000

_STORE_OR_COUNT = """
INSERT INTO feexpay_webhookdelivery
    (dedupe_key, gateway_reference, reported_status, event_type, attempt_id, payout_id, body, repeat_count,
    received_at)
VALUES (%(dedupe_key)s, %(gateway_reference)s, %(reported_status)s, %(event_type)s, %(attempt_id)s, %(payout_id)s,
    %(body)s, %(repeat_count)s, %(received_at)s)
ON CONFLICT (dedupe_key) DO UPDATE SET repeat_count = feexpay_webhookdelivery.repeat_count + 1
WHERE feexpay_webhookdelivery.repeat_count < %(max_repeats)s
"""


class WebhookDeliveryQuerySet(PrimaryQuerySet["WebhookDelivery"]):
    def unmatched(self) -> WebhookDeliveryQuerySet:
        """The deliveries that belong to no attempt or payout that we know."""
        return self.filter(attempt=None, payout=None)

    def store_or_count(self, delivery: WebhookDelivery) -> None:
        """Insert an unsaved delivery, or increase `repeat_count` if it is stored already.

        One SQL statement, which the ORM cannot express, so that two processes with the same delivery count correctly.
        """
        connection = connections[self.db]
        values = {
            field.attname: field.get_db_prep_save(getattr(delivery, field.attname), connection)
            for field in self.model._meta.concrete_fields
        }
        with connection.cursor() as cursor:
            cursor.execute(_STORE_OR_COUNT, values | {"max_repeats": MAX_REPEATS})

    def count_repeat(self, dedupe_key: str) -> bool:
        """Increase `repeat_count` of a stored delivery; whether it is stored."""
        stored = self.filter(dedupe_key=dedupe_key)
        if stored.filter(repeat_count__lt=MAX_REPEATS).update(repeat_count=models.F("repeat_count") + 1):
            return True
        return stored.exists()


class WebhookDelivery(PrimaryModel):
    """One distinct delivery; repeats are counted. Nothing in it decides about money.

    It is about an attempt or a payout. Both are NULL while we do not know the reference: a delivery may come before
    FeexPay's answer to our request.
    """

    dedupe_key = models.CharField(_("dedupe key"), max_length=HASH_LENGTH, unique=True)
    gateway_reference = models.CharField(_("FeexPay reference"), max_length=128, blank=True)
    reported_status = models.CharField(_("reported status"), max_length=64, blank=True)
    event_type = models.CharField(_("type"), max_length=64, blank=True)
    attempt = models.ForeignKey(
        Attempt, verbose_name=_("attempt"), null=True, blank=True, on_delete=models.PROTECT, related_name="deliveries"
    )
    payout = models.ForeignKey(
        Payout,
        verbose_name=_("payout"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="deliveries",
        db_index=False,  # few deliveries are about payouts: a partial index finds them
    )
    body = models.JSONField(_("body, redacted"), default=dict)
    repeat_count = models.PositiveIntegerField(_("repeats"), default=0)
    received_at = models.DateTimeField(_("received at"))

    objects = WebhookDeliveryQuerySet.as_manager()  # type: ignore[misc]  # the base's manager, replaced

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        default_permissions = ("view",)
        ordering = ("-received_at", "-id")
        permissions: ClassVar[Any] = (("reprocess_delivery", _("Can process a webhook delivery again")),)
        indexes = (
            models.Index(fields=("-received_at", "-id"), name="feexpay_delivery_newest"),
            models.Index(
                fields=("gateway_reference",),
                name="feexpay_delivery_unmatched",
                condition=models.Q(attempt__isnull=True),
            ),
            models.Index(
                fields=("payout", "-id"),
                name="feexpay_delivery_payout",
                condition=models.Q(payout__isnull=False),
            ),
            models.Index(fields=("id",), name="feexpay_delivery_waiting", condition=models.Q(attempt__isnull=True)),
        )

    def __str__(self) -> str:
        return joined(self.gateway_reference, self.reported_status) or str(self._meta.verbose_name)

    @property
    def payment_id(self) -> UUID | None:
        """The payment that it is about."""
        about = self.attempt or self.payout
        return None if about is None else about.payment_id
