"""Payments: the list, the page of one with its whole history, and the actions."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from django_feexpay import exports
from django_feexpay.admin import display, exported, payment_actions, payment_page, review_page, search, unmask_page
from django_feexpay.admin.confirm_action import ConfirmedActionsAdmin
from django_feexpay.catalogue.money import show_rate
from django_feexpay.models import Payment
from django_feexpay.models.payment import PaymentQuerySet
from django_feexpay.payments import reviews


@admin.register(Payment)
class PaymentAdmin(ConfirmedActionsAdmin):
    """Payments, newest first. Read-only but for `payment_actions` and `review_page`."""

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
        "appear in the address. Use “Find by phone number”."
    )
    actions = ("export_csv", "export_xlsx")
    confirmed_actions = (payment_actions.RECONCILE, payment_actions.RETRY, payment_actions.NOTE)
    confirm_columns = ("payment_shown", "status_shown", "amount_shown", "provider", "msisdn_shown")
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
        self, request: HttpRequest, queryset: QuerySet[Payment], search_term: str
    ) -> tuple[QuerySet[Payment], bool]:
        term = search_term.strip()
        return (search.exact(queryset, term) if term else queryset), False

    def get_urls(self) -> list[URLPattern]:
        find = self.admin_site.admin_view(self.find_view)
        # What is sent cannot be rolled back: with ATOMIC_REQUESTS this view still runs outside any transaction.
        unmask = self.admin_site.admin_view(self.unmask_view)
        review = transaction.non_atomic_requests(self.admin_site.admin_view(self.review_view))
        return [
            path("find/", find, name="feexpay_payment_find"),
            path(f"{review_page.NAME}/", review, name=f"feexpay_payment_{review_page.NAME}"),
            path(f"{unmask_page.NAME}/", unmask, name=f"feexpay_payment_{unmask_page.NAME}"),
            *super().get_urls(),
        ]

    @method_decorator(require_http_methods(["GET", "POST"]))
    def review_view(self, request: HttpRequest) -> HttpResponse:
        return review_page.close_review(self, request)

    @method_decorator(require_http_methods(["GET", "POST"]))
    def unmask_view(self, request: HttpRequest) -> HttpResponse:
        return unmask_page.unmask(self, request)

    @method_decorator(sensitive_post_parameters("phone"))
    def find_view(self, request: HttpRequest) -> HttpResponse:
        return search.find_by_number(self, request)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        context["feexpay"] = payment_page.sections(context["original"], request)
        return super().render_change_form(request, context, *args, **kwargs)

    def page_actions(self, request: HttpRequest, row: Payment) -> list[dict[str, Any]]:
        actions = super().page_actions(request, row)
        if review_page.may(request) and reviews.under_review(row.pk) is not None:
            actions.append({"title": review_page.TITLE, "url": review_page.address(row.pk)})
        if unmask_page.may(request):
            actions.append({"title": unmask_page.TITLE, "url": unmask_page.address(row.pk)})
        return actions

    # --- exports -------------------------------------------------------------------------------------

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "export")

    @admin.action(description=_("Export as CSV"), permissions=["export"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponseBase | None:
        return self._export(request, queryset, "csv")

    @admin.action(description=_("Export as XLSX"), permissions=["export"])
    def export_xlsx(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponseBase | None:
        return self._export(request, queryset, "xlsx")

    def _export(self, request: HttpRequest, queryset: QuerySet[Payment], name: str) -> HttpResponseBase | None:
        """Send the chosen rows, or with "select all" every row of the filtered list. The audit list keeps who did."""
        try:
            response = exports.download(cast(PaymentQuerySet, queryset), name)
        except exports.ExportError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        exported.record_export(request, queryset, name)
        return response

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=_("id"))
    def short_id(self, payment: Payment) -> SafeString:
        return display.short_id(payment.pk)

    @admin.display(description=_("payment"))
    def payment_shown(self, payment: Payment) -> SafeString | str:
        return display.payment_link(payment.pk)

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
