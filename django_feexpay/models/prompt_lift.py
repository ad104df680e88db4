"""Exceptions from the prompt limit, granted by staff."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.fields import HASH_LENGTH
from django_feexpay.models.primary import PrimaryModel


class PromptLift(PrimaryModel):
    """Lifts the prompt limit of a phone number from `lifted_at` to `until`. Never changed: it records who and why.

    The number is not stored, only its keyed hash and its masked form. `actor`: primary key of the user.
    """

    msisdn_hash = models.CharField(_("keyed hash of the phone"), max_length=HASH_LENGTH)
    masked_msisdn = models.CharField(_("phone"), max_length=32)
    lifted_at = models.DateTimeField(_("lifted at"))
    until = models.DateTimeField(_("until"))
    actor = models.CharField(_("actor"), max_length=255)
    reason = models.CharField(_("reason"), max_length=500)

    class Meta:
        verbose_name = _("lifted prompt limit")
        verbose_name_plural = _("lifted prompt limits")
        default_permissions = ("view",)
        ordering = ("-lifted_at", "-id")
        permissions: ClassVar[Any] = (("lift_prompt_limit", _("Can lift the limit of prompts for a number")),)
        constraints = (
            models.CheckConstraint(name="feexpay_lift_period", condition=Q(until__gt=F("lifted_at"))),
            models.CheckConstraint(name="feexpay_lift_reason", condition=~Q(reason="") & ~Q(actor="")),
        )
        indexes = (models.Index(fields=("msisdn_hash", "until"), name="feexpay_lift_number"),)

    def __str__(self) -> str:
        return self.masked_msisdn
