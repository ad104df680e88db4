"""Idempotency keys and their answers."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.fields import HASH_LENGTH
from django_feexpay.models.payment import Payment
from django_feexpay.models.primary import PrimaryModel


class IdempotencyRecord(PrimaryModel):
    """A client's key and the answer to it. Written with the payment, so it exists only if a payment does.

    `fingerprint`: keyed hash of the request; the same key with another fingerprint is a client error.
    `answer_status` NULL: the first request is still running, or its process died.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.PROTECT, related_name="+"
    )
    key = models.CharField(_("key"), max_length=255)
    fingerprint = models.CharField(_("fingerprint"), max_length=HASH_LENGTH)
    payment = models.ForeignKey(
        Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="idempotency_records"
    )
    answer_status = models.PositiveSmallIntegerField(_("HTTP status of the answer"), null=True, blank=True)
    answer_body = models.JSONField(_("answer"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")
        default_permissions = ("view",)
        ordering = ("-created_at",)
        constraints = (models.UniqueConstraint(fields=("user", "key"), name="feexpay_idempotency_key"),)

    def __str__(self) -> str:
        return self.key
