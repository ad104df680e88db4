"""What somebody has to put right by hand."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.payment import Attempt, Payment
from django_feexpay.models.primary import PrimaryModel


class Incident(PrimaryModel):
    """Open until staff close it. A duplicate charge is money to give back."""

    class Kind(models.TextChoices):
        DUPLICATE_CHARGE = "duplicate_charge", _("charged twice: refund one")
        CONTRADICTION = "contradiction", _("FeexPay took back a success")

    kind = models.CharField(_("kind"), max_length=32, choices=Kind.choices)
    payment = models.ForeignKey(Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="incidents")
    attempt = models.ForeignKey(Attempt, verbose_name=_("attempt"), on_delete=models.PROTECT, related_name="incidents")
    opened_at = models.DateTimeField(_("opened at"))
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        ordering = ("-opened_at",)
        constraints = (
            models.UniqueConstraint(
                fields=(
                    "kind",
                    "attempt",
                ),
                name="feexpay_incident_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.payment_id}"
