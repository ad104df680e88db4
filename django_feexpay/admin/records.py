"""The lists of attempts, events, credits, deliveries, outbox messages, idempotency records and heartbeats."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from django_feexpay import log_context
from django_feexpay.admin import (
    dashboard,
    display,
    event_texts,
    export_columns,
    repeat_actions,
    saved_filters,
    search_terms,
    statement_page,
)
from django_feexpay.admin.confirm_action import ConfirmedActionsAdmin
from django_feexpay.admin.list_exports import ExportedListAdmin
from django_feexpay.admin.people import name_of, names_of
from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.admin.search import StatusFilter
from django_feexpay.admin.search_box import SearchedListAdmin
from django_feexpay.catalogue import money
from django_feexpay.catalogue.outcomes import spellings_of
from django_feexpay.lifecycle import Status
from django_feexpay.models import (
    Attempt,
    Credit,
    DailyTotal,
    Heartbeat,
    IdempotencyRecord,
    OutboxMessage,
    PaymentEvent,
    Payout,
    WebhookDelivery,
)

_TOTAL_COUNTS = ("started", "succeeded", "failed", "expired")


def of_attempts(payment_ids: list[UUID]) -> Q:
    """The rows that name an attempt of these payments. The attempts are read first, so that an index finds the rows."""
    return Q(attempt__in=list(Attempt.objects.filter(payment__in=payment_ids).values_list("pk", flat=True)))


class PaymentRowsAdmin(SearchedListAdmin):
    """A ledger whose rows belong to payments; search finds the rows of the payments that a term names."""

    list_select_related: ClassVar[Any] = ("payment",)
    search_fields = ("payment__exact",)  # shows the box; `named` does the search

    def named(self, request: HttpRequest, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        """The rows of the named payments. Their ids are read first, so that an index finds the rows."""
        ids: list[UUID] = search_terms.payment_ids(term)
        if len(ids) == search_terms.MAX_NAMED:
            text = _t("Only the newest %(most)d payments with this beginning were searched. Type more of it.")
            self.message_user(request, text % {"most": search_terms.MAX_NAMED}, messages.WARNING)
        return queryset.filter(self.of_payments(ids) | self.named_beside(term))

    def of_payments(self, ids: list[UUID]) -> Q:
        """The rows of these payments."""
        return Q(payment__in=ids)

    def named_beside(self, term: str) -> Q:
        """The rows that a term names by a column of their own, besides those of the payments."""
        return Q()

    @admin.display(description=_("payment"))
    def payment_shown(self, row: Any) -> SafeString | str:
        return display.payment_link(row.payment_id)


@admin.register(Attempt)
class AttemptAdmin(ExportedListAdmin, PaymentRowsAdmin):
    """Attempts, those of the newest payments first, without the encrypted columns and the hash."""

    list_display = (
        "short_id",
        "status_shown",
        "payment_shown",
        "ordinal",
        "amount_shown",
        "msisdn_shown",
        "gateway_reference",
        "reason_code",
        "created_at",
    )
    list_filter = (StatusFilter, ("payment__created_at", PeriodFilter))
    # Payments have an index to sort by, attempts have none.
    ordering = ("-payment__created_at", "-payment__id", "-ordinal")
    export_columns = export_columns.ATTEMPTS
    export_order = ("payment__created_at", "payment_id", "ordinal")
    fieldsets = (
        (None, {"fields": ("id", "payment", "ordinal", "status_shown", "amount_shown", "msisdn_shown")}),
        (_("FeexPay"), {"fields": ("gateway_reference", "reason_code", "reason_text", "otp_required", "redirect_url")}),
        (_("Polls"), {"fields": ("next_poll_at", "last_polled_at", "poll_count", "first_empty_search_at")}),
        (_("Times"), {"fields": ("created_at", "sent_at", "expires_at", "updated_at", "settled_at")}),
        (_("Where the payer returns to"), {"classes": ("collapse",), "fields": ("return_url", "cancel_url")}),
    )

    @admin.display(description=_("id"))
    def short_id(self, attempt: Attempt) -> SafeString:
        return display.short_id(attempt.pk)

    @admin.display(description=_("status"))
    def status_shown(self, attempt: Attempt) -> SafeString:
        return display.status_badge(attempt.status)

    @admin.display(description=_("phone"))
    def msisdn_shown(self, attempt: Attempt) -> SafeString:
        return display.line(attempt.masked_msisdn)

    @admin.display(description=_("amount asked for"))
    def amount_shown(self, attempt: Attempt) -> SafeString:
        return display.amount(attempt.amount, attempt.payment.charged_currency)


@admin.register(PaymentEvent)
class PaymentEventAdmin(PaymentRowsAdmin):
    """All changes of status, newest first."""

    list_display = ("created_at", "payment_shown", "before", "after", "because_shown", "source", "actor_shown", "note")
    list_filter = ("source", ("created_at", PeriodFilter))
    ordering = ("-created_at", "-id")
    fields = (
        *("payment", "attempt", "before", "after", "because_shown"),
        *("source", "actor_shown", "note", "evidence_shown", "created_at", "request_id"),
    )

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Add the names of the users who acted, read in one statement."""
        changes = super().get_changelist_instance(request)
        names = names_of(event.actor for event in changes.result_list)
        for event in changes.result_list:
            event.actor_name = names[event.actor]
        return changes

    def record_title(self, row: PaymentEvent) -> str:
        statuses = [display.BADGES[Status(status)].text for status in (row.from_status, row.to_status) if status]
        return " → ".join(str(text) for text in statuses)

    @admin.display(description=_("actor"))
    def actor_shown(self, event: Any) -> str:
        return getattr(event, "actor_name", None) or name_of(event.actor) or display.EMPTY

    @admin.display(description=_("from"))
    def before(self, event: PaymentEvent) -> SafeString:
        return display.status_badge(event.from_status)

    @admin.display(description=_("to"))
    def after(self, event: PaymentEvent) -> SafeString:
        return display.status_badge(event.to_status)

    @admin.display(description=_("because"))
    def because_shown(self, event: PaymentEvent) -> str:
        return event_texts.event_text(event) or event.because

    @admin.display(description=_("evidence"))
    def evidence_shown(self, event: PaymentEvent) -> SafeString | str:
        return display.json_block(event.evidence)


@admin.register(Credit)
class CreditAdmin(ExportedListAdmin, PaymentRowsAdmin):
    """Credits, newest first."""

    list_display = ("short_id", "amount_shown", "created_at")
    list_select_related = ("payment", "attempt")
    list_filter = (("created_at", PeriodFilter),)
    ordering = ("-created_at", "-event_id")
    export_columns = export_columns.CREDITS
    export_order = ("event_id",)
    fields = ("payment", "attempt", "event", "amount_shown", "created_at")
    change_list_template = "admin/feexpay/credit/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.asking_view(self.statement_view)  # it may ask for the balance
        return [path("statement/", view, name="feexpay_credit_statement"), *super().get_urls()]

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    @log_context.entry_point(log_context.ADMIN)
    def statement_view(self, request: HttpRequest) -> HttpResponseBase:
        return statement_page.show(self, request)

    def record_title(self, row: Credit) -> str:
        return money.show(row.amount, row.currency)

    @admin.display(description=_("payment"))
    def short_id(self, credit: Credit) -> SafeString:
        return display.short_id(credit.payment_id)

    @admin.display(description=_("amount"))
    def amount_shown(self, credit: Credit) -> SafeString:
        return display.amount(credit.amount, credit.currency)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(PaymentRowsAdmin, ConfirmedActionsAdmin):
    """Webhook deliveries, redacted."""

    confirmed_actions = (repeat_actions.PROCESS_AGAIN,)
    confirm_columns = ("received_at", "gateway_reference", "reported_status", "payment_shown")

    list_display = (
        "received_at",
        "gateway_reference",
        "reported_status",
        "event_type",
        "payment_shown",
        "repeat_count",
    )
    list_filter = (
        ("attempt", admin.EmptyFieldListFilter),
        ("payout", admin.EmptyFieldListFilter),
        ("received_at", PeriodFilter),
    )
    filter_links = saved_filters.DELIVERIES
    list_select_related = ("attempt", "payout")
    ordering = ("-received_at", "-id")
    fields = (
        *("received_at", "gateway_reference", "reported_status", "event_type"),
        *("attempt", "payout", "repeat_count", "dedupe_key", "body_shown"),
    )

    def of_payments(self, ids: list[UUID]) -> Q:
        payouts = Payout.objects.filter(payment__in=ids).values_list("pk", flat=True)
        return of_attempts(ids) | Q(payout__in=list(payouts))

    def named_beside(self, term: str) -> Q:
        return Q(gateway_reference__in=spellings_of(term), attempt__isnull=True)

    @admin.display(description=_("payment"))
    def payment_shown(self, row: WebhookDelivery) -> SafeString | str:
        return display.payment_link(row.payment_id)

    @admin.display(description=_("body, redacted"))
    def body_shown(self, delivery: WebhookDelivery) -> SafeString | str:
        return display.json_block(delivery.body)


@admin.register(OutboxMessage)
class OutboxMessageAdmin(PaymentRowsAdmin, ConfirmedActionsAdmin):
    """Signals to the host's receivers, newest first."""

    confirmed_actions = (repeat_actions.SEND_AGAIN,)
    confirm_columns = ("signal", "payment_shown", "created_at", "delivered_at", "last_error")

    list_display = (
        "created_at",
        "signal",
        "payment_shown",
        "delivered_at",
        "next_delivery_at",
        "delivery_count",
        "last_error",
    )
    list_filter = ("signal", ("next_delivery_at", admin.EmptyFieldListFilter))
    ordering = ("-id",)
    fields = (
        *("event_id", "signal", "payment", "created_at"),
        *("delivered_at", "next_delivery_at", "delivery_count", "last_error", "taken_by"),
    )

    def record_title(self, row: OutboxMessage) -> str:
        return capfirst(row.get_signal_display())

    @admin.display(description=_("receivers that have returned already"))
    def taken_by(self, message: OutboxMessage) -> str:
        return ", ".join(message.receipts.values_list("receiver", flat=True)) or "–"


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(PaymentRowsAdmin):
    """Idempotency keys and their first answers, newest first."""

    list_display = ("created_at", "key", "user", "payment_shown", "answer_status")
    list_select_related = ("user", "payment")
    ordering = ("-id",)
    fields = ("key", "user", "payment", "fingerprint", "answer_status", "answer_shown", "created_at")

    @admin.display(description=_("answer"))
    def answer_shown(self, record: IdempotencyRecord) -> SafeString | str:
        return display.json_block(record.answer_body)


@admin.register(Heartbeat)
class HeartbeatAdmin(LedgerAdmin):
    """The last heartbeat of each background process."""

    list_display = ("what", "beat_at")
    ordering = ("name",)
    fields = ("what", "name", "beat_at")

    @admin.display(description=_("what happened"))
    def what(self, row: Heartbeat) -> str:
        return str(row)


@admin.register(DailyTotal)
class DailyTotalAdmin(LedgerAdmin):
    """What the dashboard is drawn from, newest day first; and the dashboard."""

    list_display = ("day", "provider", "currency", *_TOTAL_COUNTS, "amount_shown", "fee_shown")
    list_filter = (("day", PeriodFilter), "currency")
    list_select_related = ("provider",)
    ordering = ("-day", "-pk")
    fields = (
        *("day", "provider", "currency", *_TOTAL_COUNTS),
        *("amount_shown", "fee_shown", "settle_counts", "reasons_shown"),
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.dashboard_view)
        return [path(f"{dashboard.NAME}/", view, name=f"feexpay_dailytotal_{dashboard.NAME}"), *super().get_urls()]

    @method_decorator(require_safe)
    def dashboard_view(self, request: HttpRequest) -> HttpResponse:
        return dashboard.page(self, request)

    @admin.display(description=_("amount"))
    def amount_shown(self, row: DailyTotal) -> SafeString:
        return display.amount(row.amount, row.currency)

    @admin.display(description=_("fee"))
    def fee_shown(self, row: DailyTotal) -> SafeString:
        return display.amount(row.fee, row.currency)

    @admin.display(description=_("reasons"))
    def reasons_shown(self, row: DailyTotal) -> SafeString | str:
        return display.json_block(row.reasons)
