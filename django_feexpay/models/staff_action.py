"""What staff did, across all records: the audit list of the back office."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.append_only import ChainedModel
from django_feexpay.models.payment import Payment, PaymentEvent
from django_feexpay.models.primary import PrimaryModel


class StaffAction(ChainedModel):
    """One action of a member of staff. The actions of one actor form a chain (`StaffChain`).

    `target`: what was acted on, as `model:primary key`, "" for a whole list. `detail`: facts such as the filter and
    the count of an export. Neither holds a phone number or another personal datum.
    """

    class Action(models.TextChoices):
        """What was done."""

        RECONCILE = "reconcile", _("asked FeexPay")
        RETRY = "retry", _("started a new attempt")
        CLOSE_REVIEW = "close_review", _("closed a review")
        CLOSE_INCIDENT = "close_incident", _("closed an incident")
        CLOSE_DISCREPANCY = "close_discrepancy", _("closed a difference")
        REFUND = "refund", _("recorded a refund")
        APPROVE_REFUND = "approve_refund", _("approved a refund")
        CANCEL_REFUND = "cancel_refund", _("cancelled a refund")
        SEND_PAYOUT = "send_payout", _("approved a payout and had it sent")
        CLOSE_PAYOUT = "close_payout", _("closed a payout whose outcome was unknown")
        RELEASE_ORDER = "release_order", _("released an order")
        REDELIVER = "redeliver", _("processed a webhook again")
        RESEND_SIGNAL = "resend_signal", _("sent a signal again")
        LIFT_PROMPTS = "lift_prompts", _("lifted the limit of payment requests")
        SWITCH_PROVIDER = "switch_provider", _("changed a provider")
        EXPORT = "export", _("exported")
        LOOK_UP_NUMBER = "look_up_number", _("looked up a phone number")
        UNMASK = "unmask", _("read a phone number")
        NOTE = "note", _("wrote a note")
        ROTATE_KEYS = "rotate_keys", _("rotated the keys")
        CHAIN_HISTORY = "chain_history", _("chained older rows")
        EXPORT_SUBJECT = "export_subject", _("exported the data of a person")
        ERASE_SUBJECT = "erase_subject", _("erased the data of a person")

    class Result(models.TextChoices):
        """How it ended."""

        DONE = "done", _("done")
        SKIPPED = "skipped", _("skipped")
        FAILED = "failed", _("failed")

    action = models.CharField(_("action"), max_length=32, choices=Action.choices)
    result = models.CharField(_("result"), max_length=8, choices=Result.choices, default=Result.DONE)
    actor = models.CharField(_("by"), max_length=255)
    actor_name = models.CharField(_("name"), max_length=255)
    source = models.CharField(_("source"), max_length=16, choices=PaymentEvent.Source.choices)
    payment = models.ForeignKey(
        Payment,
        verbose_name=_("payment"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="staff_actions",
    )
    target = models.CharField(_("record"), max_length=128, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    detail = models.JSONField(_("details"), default=dict, blank=True)
    created_at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("staff action")
        verbose_name_plural = _("staff actions")
        default_permissions = ("view",)
        permissions: ClassVar[Any] = (
            ("export_staffaction", _("Can export staff actions to a file")),
            ("note_payment", _("Can write a note on a payment")),
        )
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("actor", "position"), name="feexpay_staff_position", condition=Q(chained_later_at=None)
            ),
        )
        indexes = (
            models.Index(fields=("actor", "-id"), name="feexpay_staff_actor"),
            models.Index(fields=("action", "-id"), name="feexpay_staff_action"),
            models.Index(fields=("actor_name", "-id"), name="feexpay_staff_name"),
            models.Index(fields=("created_at",), name="feexpay_staff_time"),
        )

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.get_action_display()}"


class StaffChain(PrimaryModel):
    """The end of a chain of staff actions: how many it has, and the hash of the last one.

    Each actor has a chain, so that two members of staff never wait for each other. `actor` is "" for the chain of the
    rows that an earlier release wrote, of all actors together.
    """

    actor = models.CharField(_("by"), max_length=255, primary_key=True)
    action_count = models.PositiveIntegerField(_("actions in the chain"), default=0)
    chain_hash = models.CharField(_("hash of the last action"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("chain of staff actions")
        verbose_name_plural = _("chains of staff actions")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.actor}: {self.action_count}"
