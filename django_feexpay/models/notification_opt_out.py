"""Users who want no messages about their payments."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.primary import PrimaryModel


class NotificationOptOut(PrimaryModel):
    """While this row exists, its user gets no notification. `django_feexpay.notifications.opt_out` writes it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("user without notifications")
        verbose_name_plural = _("users without notifications")
        ordering = ("-created_at",)
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.user_id)
