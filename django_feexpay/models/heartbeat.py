"""Heartbeats of the background work."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.primary import PrimaryModel

_WORDS = {
    "worker": _("a round of feexpay_worker"),
    "cluster": _("a round of the django-q2 cluster"),
    "sweep_task": _("a task of the django-q2 cluster was enqueued or began"),
    "monitor": _("the health facts were looked at"),
    "gateway": _("FeexPay answered"),
    "gateway_probe": _("FeexPay was asked whether it answers"),
    "backup": _("a backup of the database was made"),
    "backup_failed": _("a backup of the database failed"),
    "restore_test": _("a backup was restored and verified"),
    "restore_test_failed": _("a restore test failed"),
}
#: Heartbeats that the purge keeps: while they exist, a backup that stops reporting is an alert.
KEPT = ("backup", "backup_failed", "restore_test", "restore_test_failed")


class Heartbeat(PrimaryModel):
    """When a background process last finished a round, or FeexPay last answered.

    `name`: `worker` or `cluster`; `gateway` for FeexPay's last answer to a probe, `gateway_probe` for the last probe;
    `sweep_task` for the task of `background.tasks`; `monitor` for the last look at the health facts;
    `backup` and `restore_test` for the newest that succeeded, with `_failed` for the newest that did not.
    """

    name = models.CharField(_("name"), max_length=32, primary_key=True)
    beat_at = models.DateTimeField(_("last heartbeat"))

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        default_permissions = ("view",)
        ordering = ("name",)

    def __str__(self) -> str:
        return str(_WORDS.get(self.name, self.name))
