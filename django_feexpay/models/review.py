"""Proposed decisions for attempts under review, which a second person must approve."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.payment import Attempt, PaymentEvent
from django_feexpay.models.primary import PrimaryModel


class ReviewDecision(models.TextChoices):
    """How a person closes an attempt under review. The event has the decision as its `because`."""

    CREDIT_TAKEN = "credit_taken", _("credit what FeexPay took")
    CREDIT_PRICE = "credit_price", _("credit what was asked for")
    NOT_PAID = "not_paid", _("not paid")


class ReviewProposal(PrimaryModel):
    """A decision by one person that a second person must approve. At most one is open for an attempt.

    `gateway_word`, `gateway_amount`: FeexPay's answer when it was proposed, which the second person approves.
    `proposed_by`, `ended_by`: primary keys of users.
    """

    class Outcome(models.TextChoices):
        OPEN = "open", _("waits for a second person")
        APPROVED = "approved", _("approved")
        REPLACED = "replaced", _("replaced by another proposal")
        OUTDATED = "outdated", _("FeexPay's answer changed")
        NOT_NEEDED = "not_needed", _("the review ended without it")

    attempt = models.ForeignKey(
        Attempt, verbose_name=_("attempt"), on_delete=models.PROTECT, related_name="review_proposals"
    )
    decision = models.CharField(_("decision"), max_length=16, choices=ReviewDecision.choices)
    reason = models.CharField(_("reason"), max_length=500)
    gateway_word = models.CharField(_("FeexPay's status"), max_length=16)
    gateway_amount = models.BigIntegerField(_("FeexPay's amount"), null=True, blank=True)
    source = models.CharField(_("source"), max_length=16, choices=PaymentEvent.Source.choices)
    proposed_by = models.CharField(_("proposed by"), max_length=255)
    proposed_at = models.DateTimeField(_("proposed at"))
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome.choices, default=Outcome.OPEN)
    ended_by = models.CharField(_("ended by"), max_length=255, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    class Meta:
        verbose_name = _("proposed decision")
        verbose_name_plural = _("proposed decisions")
        default_permissions = ("view",)
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("attempt",), name="feexpay_one_open_proposal", condition=Q(outcome="open")),
        )

    def __str__(self) -> str:
        return str(self.get_decision_display())
