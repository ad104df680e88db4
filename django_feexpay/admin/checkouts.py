"""The list of what the addresses of the web checkout have led to."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from django_feexpay import conf
from django_feexpay.admin import display
from django_feexpay.admin.display import Tone
from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.records import PaymentRowsAdmin
from django_feexpay.models import Checkout


@admin.register(Checkout)
class CheckoutAdmin(PaymentRowsAdmin):
    """Checkouts, those of the newest payments first. The address itself is signed and stored nowhere."""

    list_display = (
        *("created_at", "payment_shown", "status_shown", "amount_shown", "reference_shown"),
        *("link_shown", "expires_at"),
    )
    list_filter: ClassVar = (("payment__created_at", PeriodFilter),)
    # Payments have an index to sort by, checkouts have none.
    ordering = ("-payment__created_at", "-payment__id")
    fieldsets = (
        (None, {"fields": ("payment", "status_shown", "amount_shown", "reference_shown", "currency")}),
        (_("Times"), {"fields": ("created_at", "expires_at", "link_shown")}),
        (_("Where the payer returns to"), {"fields": ("return_url", "cancel_url")}),
    )

    @admin.display(description=_("status"))
    def status_shown(self, checkout: Checkout) -> SafeString:
        return display.status_badge(checkout.payment.status)

    @admin.display(description=_("amount"))
    def amount_shown(self, checkout: Checkout) -> SafeString:
        return display.amount(checkout.payment.amount, checkout.payment.currency)

    @admin.display(description=_("merchant reference"))
    def reference_shown(self, checkout: Checkout) -> SafeString:
        return display.line(checkout.payment.merchant_reference)

    @admin.display(description=_("link"))
    def link_shown(self, checkout: Checkout) -> SafeString:
        """Whether the payer may still pay there."""
        if checkout.expires_at > conf.now():
            return display.pill(_t("Open"), Tone.WAITING)
        return display.pill(_t("Expired"), Tone.QUIET)
