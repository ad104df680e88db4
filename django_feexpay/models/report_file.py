"""Files that the background work makes for staff: large exports and statements."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.fields import SealedField
from django_feexpay.models.primary import PrimaryModel


class ReportFile(PrimaryModel):
    """A file that a user asked for. Row and file are deleted after `expires_at`.

    `filter`: the query string of the list; it is encrypted, because a search term may name a person. `parts`: the names
    of the stored pieces, in order. `cursor`: the last row read, by the columns that order the list. `claim_number`
    grows with each claim: a worker that lost its claim no longer changes anything.
    """

    class State(models.TextChoices):
        """How far it is."""

        WAITING = "waiting", _("waiting")
        WORKING = "working", _("being made")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    class Reason(models.TextChoices):
        """Why it failed."""

        NOT_ALLOWED = "not_allowed", _("You no longer have the permission to export this list.")
        NOT_POSSIBLE = "not_possible", _("The list cannot be exported in this format. Choose fewer rows, or CSV.")
        GAVE_UP = "gave_up", _("The file could not be made, even after several attempts. The worker's log says why.")

    id = models.UUIDField(_("id"), primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), null=True, on_delete=models.SET_NULL, related_name="+"
    )
    list_name = models.CharField(_("list"), max_length=32)
    file_name = models.CharField(_("file name"), max_length=128)
    file_format = models.CharField(_("format"), max_length=8)
    language = models.CharField(_("language"), max_length=16)
    filter = SealedField(_("filter"))
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.WAITING)
    reason = models.CharField(_("reason"), max_length=16, choices=Reason.choices, blank=True)
    rows_done = models.PositiveIntegerField(_("rows done"), default=0)
    rows_total = models.PositiveIntegerField(_("rows"))
    cursor = models.JSONField(_("last row read"), default=list, blank=True)
    parts = models.JSONField(_("pieces"), default=list, blank=True)
    claim_number = models.PositiveIntegerField(_("claims"), default=0)
    failure_count = models.PositiveSmallIntegerField(_("failures"), default=0)
    leased_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    created_at = models.DateTimeField(_("asked for at"))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    expires_at = models.DateTimeField(_("kept until"))

    class Meta:
        verbose_name = _("report file")
        verbose_name_plural = _("report files")
        default_permissions = ()
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("user", "-created_at"), name="feexpay_report_user"),
            models.Index(
                fields=("claim_number", "created_at"),
                name="feexpay_report_unfinished",
                condition=models.Q(state__in=("waiting", "working")),
            ),
            models.Index(fields=("expires_at",), name="feexpay_report_expires"),
        )

    def __str__(self) -> str:
        return self.file_name

    @property
    def is_finished(self) -> bool:
        return self.state in (self.State.READY, self.State.FAILED)
