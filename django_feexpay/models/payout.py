"""Payouts of refunds through FeexPay, and every change of their state."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.append_only import AppendOnlyModel
from django_feexpay.models.fields import SealedField
from django_feexpay.models.payment import Payment, PaymentEvent
from django_feexpay.models.primary import PrimaryModel
from django_feexpay.models.record_names import amount, joined
from django_feexpay.models.refund import Refund


class PayoutState(models.TextChoices):
    """The state of a payout. Only `payments.payout_moves` writes it."""

    CREATED = "created", _("waits to be sent")
    SENDING = "sending", _("being sent")
    PENDING = "pending", _("accepted by FeexPay")
    UNKNOWN = "unknown", _("unknown: it may have been paid")
    SUCCESSFUL = "successful", _("paid")
    FAILED = "failed", _("not paid")


#: A payout in one of these states may still pay the money out.
LIVE_PAYOUTS = frozenset({PayoutState.CREATED, PayoutState.SENDING, PayoutState.PENDING, PayoutState.UNKNOWN})


class Payout(PrimaryModel):
    """One request to FeexPay to pay a refund out. FeexPay echoes the id of the row.

    A constraint allows one payout of a refund that is not `failed`: the money cannot go out twice. `amount`: in the
    minor unit of `currency`. `route`: the last part of FeexPay's path. `approved_by`: who had it sent, never the person
    who proposed it. `evidence`: what staff saw in FeexPay's dashboard, if they closed it. `next_poll_at`: when it is
    due, NULL: never. `paid_after_failure_at`: FeexPay said that it failed, and later that it was paid. One that FeexPay
    paid and undid later stays `successful`, and has an incident.
    """

    State = PayoutState

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    payment = models.ForeignKey(Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="payouts")
    refund = models.ForeignKey(Refund, verbose_name=_("refund"), on_delete=models.PROTECT, related_name="payouts")
    provider_code = models.CharField(_("provider"), max_length=32)
    route = models.CharField(_("route at FeexPay"), max_length=32)
    amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    masked_msisdn = models.CharField(_("phone"), max_length=32)
    msisdn_sealed = SealedField(_("encrypted phone"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=PayoutState.choices, default=PayoutState.CREATED)
    gateway_reference = models.CharField(_("FeexPay reference"), max_length=128, null=True, blank=True)  # noqa: DJ001 -- NULL until known, so that the unique index lets many wait
    reason_code = models.CharField(_("cause"), max_length=64, blank=True)
    reason_text = models.CharField(_("FeexPay's text"), max_length=200, blank=True)
    proposed_by = models.CharField(_("proposed by"), max_length=255)
    approved_by = models.CharField(_("approved by"), max_length=255)
    created_at = models.DateTimeField(_("approved at"))
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    send_count = models.PositiveSmallIntegerField(_("times sent"), default=0)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    next_poll_at = models.DateTimeField(_("next poll"), null=True, blank=True)
    last_polled_at = models.DateTimeField(_("last polled at"), null=True, blank=True)
    poll_count = models.PositiveIntegerField(_("polls"), default=0)
    closed_by = models.CharField(_("closed by"), max_length=255, blank=True)
    evidence = models.CharField(_("what FeexPay's dashboard showed"), max_length=500, blank=True)
    paid_after_failure_at = models.DateTimeField(_("paid after its failure at"), null=True, blank=True)

    class Meta:
        verbose_name = _("payout")
        verbose_name_plural = _("payouts")
        ordering = ("-created_at",)
        default_permissions = ("view",)
        permissions: ClassVar[Any] = (("send_payout", _("Can send payouts to payers, and close unknown ones")),)
        constraints = (
            models.CheckConstraint(name="feexpay_payout_amount", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="feexpay_payout_two_persons",
                condition=~Q(proposed_by="") & ~Q(approved_by="") & ~Q(approved_by=F("proposed_by")),
            ),
            models.UniqueConstraint(
                fields=("refund",), name="feexpay_one_payout", condition=~Q(state=PayoutState.FAILED)
            ),
            models.UniqueConstraint(
                fields=("gateway_reference",),
                name="feexpay_payout_reference",
                condition=Q(gateway_reference__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=("next_poll_at",), name="feexpay_payout_due", condition=Q(next_poll_at__isnull=False)),
            models.Index(fields=("-created_at",), name="feexpay_payout_newest"),
        )

    def __str__(self) -> str:
        return joined(amount(self.amount, self.currency), self.get_state_display(), self.gateway_reference)

    @property
    def life_state(self) -> PayoutState:
        return PayoutState(self.state)


class PayoutEvent(AppendOnlyModel):
    """One change of a payout's state. Append-only.

    `actor`: primary key of a user, "" for the worker. `facts`: of FeexPay's report, never personal data.
    """

    payout = models.ForeignKey(Payout, verbose_name=_("payout"), on_delete=models.PROTECT, related_name="events")
    from_state = models.CharField(_("from"), max_length=16, choices=PayoutState.choices, blank=True)
    to_state = models.CharField(_("to"), max_length=16, choices=PayoutState.choices)
    because = models.CharField(_("because"), max_length=64)
    source = models.CharField(_("source"), max_length=16, choices=PaymentEvent.Source.choices)
    actor = models.CharField(_("actor"), max_length=255, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True)
    facts = models.JSONField(_("facts"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("payout event")
        verbose_name_plural = _("payout events")
        default_permissions = ("view",)
        ordering = ("id",)

    def __str__(self) -> str:
        return joined(self.from_state and self.get_from_state_display(), self.get_to_state_display(), by=" → ")
