"""Heartbeats of the background work."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.primary import PrimaryModel


class Heartbeat(PrimaryModel):
    """When a background process last finished a round, or FeexPay last answered.

    `name`: `worker` or `cluster`; `gateway` for FeexPay's last answer to a probe, `gateway_probe` for the last probe;
    `sweep_task` for the task of `background.tasks`.
    """

    name = models.CharField(_("name"), max_length=32, primary_key=True)
    beat_at = models.DateTimeField(_("last heartbeat"))

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        default_permissions = ("view",)
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
