"""Alerts: health facts in trouble, and whether the team was told."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.primary import PrimaryModel
from django_feexpay.models.record_names import joined


class Alert(PrimaryModel):
    """One trouble from its beginning to its end. At most one is open for a fact and a subject.

    `fact`: its name in `monitoring.facts`; `subject`: the provider or circuit, "" for the whole shop. `value`: the
    newest one, NULL for never. `seen_at`: when the trouble was last seen. `claimed_at`: when a worker last began to
    send its notice.
    """

    fact = models.CharField(_("health fact"), max_length=64)
    subject = models.CharField(_("subject"), max_length=64, blank=True)
    severity = models.CharField(_("severity"), max_length=16)
    value = models.FloatField(_("value"), null=True, blank=True)
    opened_at = models.DateTimeField(_("since"))
    seen_at = models.DateTimeField(_("last seen"))
    closed_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    claimed_at = models.DateTimeField(_("sending began at"), null=True, blank=True)
    sent_at = models.DateTimeField(_("team told at"), null=True, blank=True)
    recovery_sent_at = models.DateTimeField(_("team told of the end at"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        default_permissions = ("view",)
        ordering = ("-opened_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("fact", "subject"), name="feexpay_alert_open_once", condition=models.Q(closed_at__isnull=True)
            ),
        )
        indexes = (models.Index(fields=("-opened_at", "-id"), name="feexpay_alert_newest"),)

    def __str__(self) -> str:
        return joined(self.fact, self.subject)
