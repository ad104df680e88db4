"""Incidents that staff must resolve."""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.payment import Attempt, Payment
from django_feexpay.models.primary import PrimaryModel


class Incident(PrimaryModel):
    """Open until staff close it. A duplicate charge must be refunded; after a reversal FeexPay has the money back.

    `gateway_reference`, `amount`, `currency`: the charge at FeexPay. `credited_reference`: the charge that was
    credited: the same one for a reversal, the other one for a duplicate charge.
    One charge has one incident of a kind; an attempt may have several, as its payer may be charged three times.
    """

    class Kind(models.TextChoices):
        DUPLICATE_CHARGE = "duplicate_charge", _("charged twice: refund one")
        REVERSED_AFTER_CREDIT = "reversed_after_credit", _("FeexPay took a credited payment back")

    kind = models.CharField(_("kind"), max_length=32, choices=Kind.choices)
    payment = models.ForeignKey(Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="incidents")
    attempt = models.ForeignKey(Attempt, verbose_name=_("attempt"), on_delete=models.PROTECT, related_name="incidents")
    gateway_reference = models.CharField(_("FeexPay reference"), max_length=128, blank=True)
    credited_reference = models.CharField(_("FeexPay reference of the credited charge"), max_length=128, blank=True)
    amount = models.BigIntegerField(_("amount"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    opened_at = models.DateTimeField(_("opened at"))
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        default_permissions = ("view", "change")
        ordering = ("-opened_at",)
        constraints = (
            # FeexPay writes a reference in different letter cases.
            models.UniqueConstraint(
                F("kind"), F("attempt"), Lower("gateway_reference"), name="feexpay_incident_once_a_charge"
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.payment_id}"
