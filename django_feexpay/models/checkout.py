"""The payments that were started at the web checkout."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.payment import Payment
from django_feexpay.models.primary import PrimaryModel
from django_feexpay.models.record_names import day, joined


class Checkout(PrimaryModel):
    """What one signed checkout address has led to. Written with the payment, so it exists only if a payment does.

    `id`: the intent in the address. It is unique for guests, too, so two tabs of one address cannot start two payments.
    `payment`: the one that this address shows. Another payment may take its place only after it failed.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    payment = models.OneToOneField(
        Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="checkout"
    )
    currency = models.CharField(_("currency"), max_length=3, blank=True, help_text=_("Empty: francs of any country."))
    return_url = models.CharField(_("return URL"), max_length=500, blank=True)
    cancel_url = models.CharField(_("cancel URL"), max_length=500, blank=True)
    expires_at = models.DateTimeField(_("expires at"))
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("checkout")
        verbose_name_plural = _("checkouts")
        default_permissions = ("view",)
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return joined(self._meta.verbose_name, day(self.created_at))
