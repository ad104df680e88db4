"""Payments: the list, the page of one with everything that happened to it, and the acts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from django_feexpay import exports
from django_feexpay.admin import display, payment_actions, payment_page, review_page, search
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.catalogue.money import show_rate
from django_feexpay.models import Payment
from django_feexpay.models.payment import PaymentQuerySet

if TYPE_CHECKING:
    PaymentRows = QuerySet[Payment]
else:
    PaymentRows = QuerySet


logger = logging.getLogger("django_feexpay.admin")


@admin.register(Payment)
class PaymentAdmin(LedgerAdmin):
    """Payments, newest first. Read-only; what staff may do to them goes through `acts`."""

    list_display = (
        "short_id",
        "status_shown",
        "provider",
        "amount_shown",
        "msisdn_shown",
        "user",
        "merchant_reference",
        "created_at",
    )
    list_filter = (
        search.SamePayerFilter,
        search.StatusFilter,
        ("created_at", admin.DateFieldListFilter),
        search.CurrencyFilter,
        "provider",
    )
    list_select_related = ("provider", "latest_attempt", "user")
    sortable_by = ("created_at",)
    search_fields = ("merchant_reference__exact",)  # shows the box; `get_search_results` does the search
    search_help_text = _(
        "Exactly: an id, FeexPay's reference, your reference or a user name. Never type a phone number here: it would "
        "stand in the address. Use “Find by phone number”."
    )
    actions = ("ask_gateway", "retry", "export_csv", "export_xlsx")
    change_list_template = "admin/feexpay/payment/change_list.html"
    change_form_template = "admin/feexpay/payment/change_form.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "id",
                    "user",
                    "provider",
                    "charged_shown",
                    "fee_shown",
                    "merchant_reference",
                    "description",
                    "created_at",
                    "updated_at",
                    "settled_at",
                )
            },
        ),
        (_("Details"), {"classes": ("collapse",), "fields": ("rate_shown", "idempotency_key", "metadata_shown")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: PaymentRows, search_term: str
    ) -> tuple[PaymentRows, bool]:
        term = search_term.strip()
        return (search.exact(queryset, term) if term else queryset), False

    def get_urls(self) -> list[URLPattern]:
        mine = [*(self._act_url(act) for act in payment_actions.ACTS), self._review_url()]
        find = self.admin_site.admin_view(self.find_view)
        return [*mine, path("find/", find, name="feexpay_payment_find"), *super().get_urls()]

    def _act_url(self, act: payment_actions.Act) -> URLPattern:
        @require_http_methods(["GET", "POST"])
        def view(request: HttpRequest) -> HttpResponse:
            return payment_actions.confirm(self, request, act)

        # What is sent cannot be rolled back: with ATOMIC_REQUESTS this view is still outside any transaction.
        outside = transaction.non_atomic_requests(self.admin_site.admin_view(view))
        return path(f"{act.name}/", outside, name=f"feexpay_payment_{act.name}")

    def _review_url(self) -> URLPattern:
        @require_http_methods(["GET", "POST"])
        def view(request: HttpRequest) -> HttpResponse:
            return review_page.close_review(self, request)

        outside = transaction.non_atomic_requests(self.admin_site.admin_view(view))
        return path(f"{review_page.NAME}/", outside, name=f"feexpay_payment_{review_page.NAME}")

    @method_decorator(sensitive_post_parameters("phone"))
    def find_view(self, request: HttpRequest) -> HttpResponse:
        return search.find_by_number(self, request)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        context["feexpay"] = payment_page.sections(context["original"], request)
        return super().render_change_form(request, context, *args, **kwargs)

    # --- acts ----------------------------------------------------------------------------------------

    def has_reconcile_permission(self, request: HttpRequest) -> bool:
        return payment_actions.may(request, payment_actions.RECONCILE)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return payment_actions.may(request, payment_actions.RETRY)

    @admin.action(description=payment_actions.RECONCILE.title, permissions=["reconcile"])
    def ask_gateway(self, request: HttpRequest, queryset: PaymentRows) -> HttpResponse | None:
        return self._ask_for_reason(request, queryset, payment_actions.RECONCILE)

    @admin.action(description=payment_actions.RETRY.title, permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: PaymentRows) -> HttpResponse | None:
        return self._ask_for_reason(request, queryset, payment_actions.RETRY)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "export")

    @admin.action(description=_("Export as CSV"), permissions=["export"])
    def export_csv(self, request: HttpRequest, queryset: PaymentRows) -> HttpResponseBase | None:
        return self._export(request, queryset, "csv")

    @admin.action(description=_("Export as XLSX"), permissions=["export"])
    def export_xlsx(self, request: HttpRequest, queryset: PaymentRows) -> HttpResponseBase | None:
        return self._export(request, queryset, "xlsx")

    def _export(self, request: HttpRequest, queryset: PaymentRows, name: str) -> HttpResponseBase | None:
        """The chosen rows, or with "select all" every row of the filtered list. Who took them stands in the log."""
        try:
            response = exports.download(cast(PaymentQuerySet, queryset), name)
        except exports.ExportError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        logger.info("user %s exports payments as %s", request.user.pk, name)
        return response

    def _ask_for_reason(
        self, request: HttpRequest, queryset: PaymentRows, act: payment_actions.Act
    ) -> HttpResponse | None:
        chosen = list(queryset.values_list("pk", flat=True)[: payment_actions.MOST_PAYMENTS + 1])
        if len(chosen) > payment_actions.MOST_PAYMENTS:
            payment_actions.too_many(self, request)
            return None
        return HttpResponseRedirect(payment_actions.address(act, chosen))

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=_("id"))
    def short_id(self, payment: Payment) -> SafeString:
        return display.short_id(payment.pk)

    @admin.display(description=_("status"))
    def status_shown(self, payment: Payment) -> SafeString:
        return display.status_badge(payment.status)

    @admin.display(description=_("amount"))
    def amount_shown(self, payment: Payment) -> SafeString:
        return display.amount(payment.amount, payment.currency)

    @admin.display(description=_("charged amount"))
    def charged_shown(self, payment: Payment) -> SafeString:
        return display.amount(payment.charged_amount, payment.charged_currency)

    @admin.display(description=_("exchange rate"))
    def rate_shown(self, payment: Payment) -> SafeString:
        return display.line(show_rate(payment.exchange_rate) if payment.exchange_rate else "")

    @admin.display(description=_("fee"))
    def fee_shown(self, payment: Payment) -> SafeString:
        return display.amount(payment.fee, payment.charged_currency)

    @admin.display(description=_("phone"))
    def msisdn_shown(self, payment: Payment) -> SafeString:
        return display.line(payment.attempt.masked_msisdn)

    @admin.display(description=_("metadata"))
    def metadata_shown(self, payment: Payment) -> SafeString | str:
        return display.json_block(payment.metadata)
