"""Refunds that staff recorded."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.incident import Incident
from django_feexpay.models.payment import Attempt, Payment, PaymentEvent
from django_feexpay.models.primary import PrimaryModel
from django_feexpay.models.record_names import amount, joined


class Refund(PrimaryModel):
    """Money that went back to the payer of one charge. It is paid out outside this package; this row records it.

    The way `payout` is the exception: then a `Payout` pays it, and the row is recorded when FeexPay says it is paid.

    `amount`: in the minor unit of `currency`, the charged currency of the payment. `credited`: the charge is the
    credited one; else it is the second charge that `incident` is about. `gateway_reference`: FeexPay's for the charge.
    `outside_reference`: of the payout, FeexPay's or the operator's. `event_id`: of the signal `payment_refunded`.
    `two_person_above`: the limit of the day; NULL: none. `proposed_by`, `approved_by`, `cancelled_by`: primary keys
    of users; without `approved_by` one person was enough. On PostgreSQL a trigger refuses to change a recorded row.
    """

    class Way(models.TextChoices):
        GATEWAY = "gateway", _("FeexPay's dashboard")
        MOBILE_MONEY = "mobile_money", _("mobile money, sent by hand")
        CASH = "cash", _("cash")
        ACCOUNT_BALANCE = "account_balance", _("balance of the payer's account in the shop")
        PAYOUT = "payout", _("payout through FeexPay, sent from here")
        OTHER = "other", _("another way")

    class State(models.TextChoices):
        PROPOSED = "proposed", _("waits for a second person")
        APPROVED = "approved", _("approved, not paid out yet")
        RECORDED = "recorded", _("recorded")
        CANCELLED = "cancelled", _("cancelled")

    payment = models.ForeignKey(Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="refunds")
    attempt = models.ForeignKey(Attempt, verbose_name=_("attempt"), on_delete=models.PROTECT, related_name="refunds")
    incident = models.ForeignKey(
        Incident, verbose_name=_("incident"), null=True, blank=True, on_delete=models.PROTECT, related_name="refunds"
    )
    credited = models.BooleanField(_("the credited charge"))
    gateway_reference = models.CharField(_("FeexPay reference of the charge"), max_length=128, blank=True)
    amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    way = models.CharField(_("paid back by"), max_length=16, choices=Way.choices)
    outside_reference = models.CharField(_("reference of the payout"), max_length=128, blank=True)
    reason = models.CharField(_("reason"), max_length=500)
    state = models.CharField(_("state"), max_length=16, choices=State.choices)
    event_id = models.UUIDField(_("event id"), null=True, blank=True, unique=True)
    two_person_above = models.BigIntegerField(_("two persons above"), null=True, blank=True)
    source = models.CharField(_("source"), max_length=16, choices=PaymentEvent.Source.choices)
    proposed_by = models.CharField(_("recorded or proposed by"), max_length=255)
    proposed_at = models.DateTimeField(_("recorded or proposed at"))
    approved_by = models.CharField(_("approved by"), max_length=255, blank=True)
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True)
    recorded_at = models.DateTimeField(_("counts since"), null=True, blank=True)
    cancelled_by = models.CharField(_("cancelled by"), max_length=255, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions: ClassVar[Any] = (
            ("refund_payment", _("Can record, approve and cancel refunds")),
            ("release_order", _("Can release an order whose payment was refunded")),
        )
        constraints = (
            models.CheckConstraint(name="feexpay_refund_amount", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="feexpay_refund_charge", condition=Q(credited=True) | Q(incident__isnull=False)
            ),
            models.CheckConstraint(
                name="feexpay_refund_two_persons", condition=Q(approved_by="") | ~Q(approved_by=F("proposed_by"))
            ),
            models.CheckConstraint(
                name="feexpay_refund_recorded",
                condition=Q(state="recorded", recorded_at__isnull=False, event_id__isnull=False)
                | (~Q(state="recorded") & Q(recorded_at__isnull=True, event_id__isnull=True)),
            ),
        )
        indexes = (models.Index(fields=("state", "-id"), name="feexpay_refund_state"),)

    def __str__(self) -> str:
        return joined(amount(self.amount, self.currency), self.get_way_display())
