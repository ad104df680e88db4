"""Payments: the list, the page of one with its whole history, and the actions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from django_feexpay import conf, exports, log_context
from django_feexpay.admin import (
    display,
    export_columns,
    overview,
    payment_actions,
    payment_page,
    refund_pages,
    report_files_page,
    review_page,
    saved_filters,
    search,
    search_terms,
    stuck,
    unmask_page,
)
from django_feexpay.admin.confirm_action import ConfirmedActionsAdmin
from django_feexpay.admin.list_exports import ExportedListAdmin
from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.search_box import SearchedListAdmin
from django_feexpay.catalogue.money import show_rate
from django_feexpay.models import Payment
from django_feexpay.payments import reviews


@admin.register(Payment)
class PaymentAdmin(SearchedListAdmin, ExportedListAdmin, ConfirmedActionsAdmin):
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
        saved_filters.SavedPaymentFilter,
        search.SamePayerFilter,
        search.UserFilter,
        search.ReasonFilter,
        search.StatusFilter,
        ("created_at", PeriodFilter),
        search.CurrencyFilter,
        "provider",
    )
    list_select_related = ("provider", "latest_attempt", "user")
    sortable_by = ("created_at",)
    search_fields = ("merchant_reference__exact",)  # shows the box; `named` does the search
    filter_links = saved_filters.PAYMENTS
    export_columns = export_columns.PAYMENTS
    export_order = ("created_at", "id")
    confirmed_actions = (
        payment_actions.RECONCILE,
        payment_actions.RETRY,
        payment_actions.RELEASE,
        payment_actions.NOTE,
    )
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
        (
            _("Details"),
            {"classes": ("collapse",), "fields": ("released_at", "rate_shown", "idempotency_key", "metadata_shown")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        rows = super().get_queryset(request).select_related(*self.list_select_related)
        return stuck.with_last_event(rows) if _shows_stuck(request) else rows

    def get_list_display(self, request: HttpRequest) -> Any:
        """In the list of stuck payments, the columns show the age, the cause and the next poll."""
        shown = super().get_list_display(request)
        if not _shows_stuck(request):
            return shown
        left_out = ("msisdn_shown", "merchant_reference", "created_at")
        return [*(name for name in shown if name not in left_out), "age_shown", "cause_shown", "next_poll_shown"]

    def named(self, request: HttpRequest, queryset: QuerySet[Payment], term: str) -> QuerySet[Payment]:
        return search_terms.payments_named(queryset, term)

    def get_urls(self) -> list[URLPattern]:
        find = self.admin_site.admin_view(self.find_view)
        unmask = self.admin_site.admin_view(self.unmask_view)
        review = self.asking_view(self.review_view)
        front = self.admin_site.admin_view(self.overview_view)
        files = self.admin_site.admin_view(self.files_view)
        return [
            path(f"{overview.NAME}/", front, name=f"feexpay_payment_{overview.NAME}"),
            path(f"{report_files_page.NAME}/", files, name=f"feexpay_payment_{report_files_page.NAME}"),
            path("find/", find, name="feexpay_payment_find"),
            path(f"{review_page.NAME}/", review, name=f"feexpay_payment_{review_page.NAME}"),
            path(f"{unmask_page.NAME}/", unmask, name=f"feexpay_payment_{unmask_page.NAME}"),
            *super().get_urls(),
        ]

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def files_view(self, request: HttpRequest) -> HttpResponseBase:
        return report_files_page.show(self, request)

    @method_decorator(require_safe)
    def overview_view(self, request: HttpRequest) -> HttpResponse:
        return overview.page(self, request)

    @method_decorator(require_http_methods(["GET", "POST"]))
    @log_context.entry_point(log_context.ADMIN)
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
        if review_page.may_close_reviews(request) and reviews.under_review(row.pk) is not None:
            actions.append({"title": review_page.TITLE, "url": review_page.address(row.pk)})
        if unmask_page.may(request):
            actions.append({"title": unmask_page.TITLE, "url": unmask_page.address(row.pk)})
        actions += [{"title": refund_pages.TITLE, "url": url} for url in refund_pages.urls_of(request, row)]
        return actions

    def rows_to_export(self, queryset: QuerySet[Payment]) -> QuerySet[Payment]:
        return queryset.annotate(refunded=exports.refunded_sum())

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

    @admin.display(description=_("open for"))
    def age_shown(self, payment: Payment) -> str:
        return stuck.age(payment, conf.now())

    @admin.display(description=_("why"))
    def cause_shown(self, payment: Any) -> str:
        return stuck.cause(payment.attempt, payment.last_because or "")

    @admin.display(description=_("FeexPay is asked next"))
    def next_poll_shown(self, payment: Payment) -> SafeString:
        return stuck.next_poll(payment.attempt, conf.now())

    @admin.display(description=_("metadata"))
    def metadata_shown(self, payment: Payment) -> SafeString | str:
        return display.json_block(payment.metadata)


def _shows_stuck(request: HttpRequest) -> bool:
    return request.GET.get(saved_filters.SHOW) == saved_filters.STUCK
