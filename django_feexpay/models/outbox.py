"""Outbox of the signals for the host's receivers."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.payment import Payment
from django_feexpay.models.primary import PrimaryModel


class OutboxMessage(PrimaryModel):
    """One signal to send, written in the transaction of the move that caused it. Receivers get its `event_id`."""

    class Signal(models.TextChoices):
        SUCCEEDED = "payment_succeeded", _("payment succeeded")
        FAILED = "payment_failed", _("payment failed")
        SUCCEEDED_LATE = "payment_succeeded_late", _("payment succeeded late")
        NEEDS_REVIEW = "payment_needs_review", _("payment needs review")
        DUPLICATE_CHARGE = "duplicate_charge_found", _("duplicate charge found")
        REFUNDED = "payment_refunded", _("payment refunded")
        REVERSED = "payment_reversed", _("payment reversed")
        PAYOUT_UNDONE = "payout_undone", _("payout undone")

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(_("event id"), unique=True, default=uuid.uuid4, editable=False)
    payment = models.ForeignKey(Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="outbox")
    signal = models.CharField(_("signal"), max_length=32, choices=Signal.choices)
    next_delivery_at = models.DateTimeField(_("next delivery"), null=True, blank=True)
    delivery_count = models.PositiveIntegerField(_("deliveries so far"), default=0)
    last_error = models.CharField(_("last error"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created at"))
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        default_permissions = ("view",)
        ordering = ("id",)
        permissions: ClassVar[Any] = (("resend_signal", _("Can send a signal to the shop again")),)
        indexes = (
            models.Index(
                fields=("next_delivery_at",), name="feexpay_outbox_due", condition=Q(next_delivery_at__isnull=False)
            ),
            models.Index(
                fields=("signal", "-id"), name="feexpay_outbox_signal", condition=~Q(signal="payment_succeeded")
            ),
        )

    def __str__(self) -> str:
        return str(self.get_signal_display())


class OutboxReceipt(PrimaryModel):
    """Records that a receiver returned for a message, so that the worker does not call it with this message again.

    Written only while another receiver of the message has not returned. `receiver`: its module and qualified name.
    """

    message = models.ForeignKey(
        OutboxMessage, verbose_name=_("outbox message"), on_delete=models.CASCADE, related_name="receipts"
    )
    receiver = models.CharField(_("receiver"), max_length=200)

    class Meta:
        verbose_name = _("outbox receipt")
        verbose_name_plural = _("outbox receipts")
        default_permissions = ()
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("message", "receiver"), name="feexpay_outbox_receipt"),)

    def __str__(self) -> str:
        return self.receiver
