"""Incidents that staff must resolve."""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.payment import Attempt, Payment
from django_feexpay.models.primary import PrimaryModel
from django_feexpay.models.record_names import amount, joined


class Incident(PrimaryModel):
    """Money that staff must put right: a duplicate charge, a reversal or an undone payout. Open until staff close it.

    `gateway_reference`, `amount`, `currency`: the charge at FeexPay; of an undone payout, the payout.
    `credited_reference`: the charge that was credited: the same one for a reversal, the other one for a duplicate
    charge; of an undone payout, the charge that it refunded. `payout`: only of an undone payout. `closed_by`: primary
    key of a user. One charge has one incident of a kind; an attempt may have several, as its payer may be charged three
    times.
    """

    class Kind(models.TextChoices):
        DUPLICATE_CHARGE = "duplicate_charge", _("charged twice: refund one")
        REVERSED_AFTER_CREDIT = "reversed_after_credit", _("FeexPay took a credited payment back")
        PAYOUT_UNDONE = "payout_undone", _("FeexPay undid a payout: the payer lacks the refund")

    class Resolution(models.TextChoices):
        """How an incident ended. `payments.incidents` says which ones each kind may have."""

        REFUNDED = "refunded", _("refunded: the recorded refunds cover the whole amount")
        OTHER_REFUNDED = "other_refunded", _("the other charge of the order was refunded instead")
        KEPT_AS_BALANCE = "kept_as_balance", _("kept as a balance, agreed with the payer")
        TAKEN_BACK = "taken_back", _("FeexPay gave the money back itself")
        GOODS_TAKEN_BACK = "goods_taken_back", _("what was sold was taken back")
        LOSS_ACCEPTED = "loss_accepted", _("the shop bears the loss")
        NO_MONEY_LOST = "no_money_lost", _("no money was lost: it was looked into")
        BEFORE_REFUNDS = "before_refunds", _("closed before refunds were recorded")

    kind = models.CharField(_("kind"), max_length=32, choices=Kind.choices)
    payment = models.ForeignKey(Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="incidents")
    attempt = models.ForeignKey(Attempt, verbose_name=_("attempt"), on_delete=models.PROTECT, related_name="incidents")
    payout = models.ForeignKey(
        "Payout", verbose_name=_("payout"), null=True, blank=True, on_delete=models.PROTECT, related_name="incidents"
    )
    gateway_reference = models.CharField(_("FeexPay reference"), max_length=128, blank=True)
    credited_reference = models.CharField(_("FeexPay reference of the credited charge"), max_length=128, blank=True)
    amount = models.BigIntegerField(_("amount"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    opened_at = models.DateTimeField(_("opened at"))
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    resolution = models.CharField(_("how it ended"), max_length=16, choices=Resolution.choices, blank=True)
    closed_by = models.CharField(_("closed by"), max_length=255, blank=True)
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
        indexes = (
            models.Index(fields=("payment",), name="feexpay_incident_open", condition=models.Q(closed_at__isnull=True)),
        )

    def __str__(self) -> str:
        return joined(self.get_kind_display(), amount(self.amount, self.currency), self.gateway_reference)
