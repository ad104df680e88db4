"""Purges, and the persons whose data were or will be erased."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.fields import SealedField
from django_feexpay.models.payment import PaymentEvent
from django_feexpay.models.primary import PrimaryModel
from django_feexpay.models.record_names import day, joined


class Purge(PrimaryModel):
    """One run of `privacy.purge`, and how many rows of each kind it erased or deleted.

    `night`: the UTC date on which a nightly purge is due; NULL for one by command. Unique, so that one process runs it.
    `beat_at`: heartbeat of that process. `outbox_before`: delivered messages that are older than this may be deleted.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        COMPLETE = "complete", _("complete")
        STOPPED = "stopped", _("stopped: it will be continued")

    night = models.DateField(_("night"), null=True, blank=True, unique=True)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.RUNNING)
    source = models.CharField(_("source"), max_length=16, choices=PaymentEvent.Source.choices)
    counts = models.JSONField(_("erased or deleted"), default=dict, blank=True)
    outbox_before = models.DateTimeField(_("outbox deleted before"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"))
    beat_at = models.DateTimeField(_("last heartbeat"))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("purge")
        verbose_name_plural = _("purges")
        default_permissions = ("view",)
        ordering = ("-id",)

    def __str__(self) -> str:
        return joined(self._meta.verbose_name, day(self.started_at))

    @property
    def total(self) -> int:
        """The rows of all kinds together."""
        return sum(self.counts.values())


def messages_kept_since() -> Coalesce:
    """An expression: outbox messages about anything later than this still exist."""
    latest = Purge.objects.filter(outbox_before__isnull=False).order_by("-outbox_before").values("outbox_before")[:1]
    return Coalesce(Subquery(latest), Value(datetime(2000, 1, 1, tzinfo=UTC)), output_field=models.DateTimeField())


class Erasure(PrimaryModel):
    """A request to erase a person. While payments wait for their end, the purge continues it.

    `user_key`: primary key of the user; "" for a number. `number_sealed`: the number, until the erasure is done.
    Only payments that were started before `asked_at` are erased. `actor`: primary key of a user, or the command's name.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waits for payments")
        DONE = "done", _("done")

    user_key = models.CharField(_("user"), max_length=255, blank=True)
    number_sealed = SealedField(_("encrypted phone"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.WAITING)
    payment_count = models.PositiveIntegerField(_("payments erased"), default=0)
    waiting_count = models.PositiveIntegerField(_("payments that wait"), default=0)
    actor = models.CharField(_("asked by"), max_length=255)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    asked_at = models.DateTimeField(_("asked at"))
    done_at = models.DateTimeField(_("done at"), null=True, blank=True)

    class Meta:
        verbose_name = _("erasure of a person")
        verbose_name_plural = _("erasures of persons")
        default_permissions = ("view",)
        ordering = ("-id",)

    def __str__(self) -> str:
        return joined(self._meta.verbose_name, day(self.asked_at))
