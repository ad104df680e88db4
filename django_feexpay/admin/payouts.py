"""The list of payouts: what was sent, what FeexPay answered, and those whose outcome staff must look for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from django_feexpay import log_context
from django_feexpay.admin import display, export_columns, payout_pages
from django_feexpay.admin.confirm_action import ConfirmedAction, ConfirmedActionsAdmin, Outcome, Result
from django_feexpay.admin.list_exports import ExportedListAdmin
from django_feexpay.admin.people import name_of
from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.records import PaymentRowsAdmin
from django_feexpay.catalogue.outcomes import spellings_of
from django_feexpay.models import Payout, PayoutState, Provider, StaffAction
from django_feexpay.payments import payout_polls
from django_feexpay.payments.ledger import Source

_ANSWER_TIMEOUT_SECONDS = 5.0


def _ask(payout: Payout, actor: str, reason: str) -> Outcome:
    if payout_polls.ask(payout.pk, source=Source.ADMIN, actor=actor, total_seconds=_ANSWER_TIMEOUT_SECONDS) is None:
        return Outcome(Result.FAILED, _("FeexPay did not answer, or gave no reference to ask by."))
    return Outcome(Result.DONE)


ASK = ConfirmedAction(
    name="ask",
    permission=payout_pages.PERMISSION,
    title=gettext_lazy("Ask FeexPay now"),
    explanation=gettext_lazy("This asks FeexPay whether the payout was paid. Asking pays nothing."),
    run=_ask,
    recorded_as=StaffAction.Action.RECONCILE,
    applies=lambda payout: (
        payout.life_state in (PayoutState.PENDING, PayoutState.UNKNOWN, PayoutState.SUCCESSFUL)
        and payout_polls.has_reference(payout)
    ),
    bulk=False,
)


@admin.register(Payout)
class PayoutAdmin(ExportedListAdmin, PaymentRowsAdmin, ConfirmedActionsAdmin):
    """Payouts, newest first."""

    list_display = (
        "created_at",
        "state_shown",
        "payment_shown",
        "amount_shown",
        "phone_shown",
        "route",
        "gateway_reference",
        "cause_shown",
    )
    list_filter = ("state", "route", ("created_at", PeriodFilter))
    export_columns = export_columns.PAYOUTS
    export_order = ("created_at", "id")
    list_select_related = ()
    ordering = ("-created_at",)
    search_help_text = gettext_lazy("Exactly: the id of a payment, an attempt or a payout, or a reference of FeexPay.")
    confirmed_actions = (ASK,)
    confirm_columns = ("payment_shown", "state_shown", "amount_shown", "phone_shown", "gateway_reference")
    change_form_template = "admin/feexpay/payout/change_form.html"
    fieldsets = (
        (None, {"fields": ("state_shown", "cause_shown", "reason_text", "amount_shown", "phone_shown", "refund")}),
        (
            gettext_lazy("At FeexPay"),
            {"fields": ("id", "provider_shown", "route", "gateway_reference", "sent_at", "send_count")},
        ),
        (
            gettext_lazy("Who and when"),
            {"fields": ("payment_shown", "proposer", "approver", "created_at", "ended_at", "closer", "evidence")},
        ),
        (
            gettext_lazy("Polls"),
            {"fields": ("next_poll_at", "last_polled_at", "poll_count", "paid_after_failure_at")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payout]:
        of_row = payout_pages.undone_incidents().filter(payout=OuterRef("pk"))
        rows: QuerySet[Payout] = super().get_queryset(request)
        return rows.annotate(is_undone=Exists(of_row))

    def get_urls(self) -> list[URLPattern]:
        close = self.asking_view(self.close_view)
        return [path("close/", close, name="feexpay_payout_close"), *super().get_urls()]

    @method_decorator(require_http_methods(["GET", "POST"]))
    @log_context.entry_point(log_context.ADMIN)
    def close_view(self, request: HttpRequest) -> HttpResponse:
        return payout_pages.close_payout(self, request)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        context["events"] = payout_pages.events_of(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def page_actions(self, request: HttpRequest, row: Payout) -> list[dict[str, Any]]:
        actions = super().page_actions(request, row)
        if url := payout_pages.close_url(request, row):
            actions.append({"title": payout_pages.CLOSE_TITLE, "url": url})
        return actions

    def named_beside(self, term: str) -> Q:
        found = Q(gateway_reference__in=spellings_of(term))
        with suppress(ValueError):
            found |= Q(pk=UUID(term))
        return found

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, row: Payout) -> SafeString:
        return payout_pages.state_badge(row, undone=row.is_undone)  # type: ignore[attr-defined]  # by get_queryset

    @admin.display(description=gettext_lazy("provider"))
    def provider_shown(self, row: Payout) -> str:
        return str(Provider.objects.filter(pk=row.provider_code).first() or row.provider_code)

    @admin.display(description=gettext_lazy("cause"))
    def cause_shown(self, row: Payout) -> str:
        return payout_pages.cause_text(row.reason_code) if row.reason_code else display.EMPTY

    @admin.display(description=gettext_lazy("amount"))
    def amount_shown(self, row: Payout) -> SafeString:
        return display.amount(row.amount, row.currency)

    @admin.display(description=gettext_lazy("phone"))
    def phone_shown(self, row: Payout) -> SafeString:
        return display.line(row.masked_msisdn)

    @admin.display(description=gettext_lazy("proposed by"))
    def proposer(self, row: Payout) -> str:
        return name_of(row.proposed_by)

    @admin.display(description=gettext_lazy("approved by"))
    def approver(self, row: Payout) -> str:
        return name_of(row.approved_by)

    @admin.display(description=gettext_lazy("closed by"))
    def closer(self, row: Payout) -> str:
        return name_of(row.closed_by) or display.EMPTY
