"""The list of refunds, where a second person finds what to approve."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from django_feexpay import log_context
from django_feexpay.admin import display, export_columns, payout_pages, refund_pages
from django_feexpay.admin.confirm_action import (
    ConfirmedAction,
    ConfirmedActionsAdmin,
    Outcome,
    Result,
    done_or_skipped,
)
from django_feexpay.admin.list_exports import ExportedListAdmin
from django_feexpay.admin.people import name_of
from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.records import PaymentRowsAdmin
from django_feexpay.admin.search import CurrencyFilter
from django_feexpay.catalogue import money
from django_feexpay.catalogue.outcomes import spellings_of
from django_feexpay.catalogue.payout_routes import PAYOUT_ROUTES
from django_feexpay.conf import feexpay
from django_feexpay.models import PayoutState, Refund, StaffAction
from django_feexpay.payments import payouts, refunds
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source


def _waits(refund: Refund) -> bool:
    return refund.state == Refund.State.PROPOSED and refund.way != Refund.Way.PAYOUT


def _waits_for_payout(refund: Refund) -> bool:
    """Whether its payout can be sent: it is proposed, or approved and its payout failed."""
    if refund.way != Refund.Way.PAYOUT or not feexpay.payouts:
        return False
    return refund.state == Refund.State.PROPOSED or _is_not_paid_out(refund)


def _is_not_paid_out(refund: Refund) -> bool:
    """Whether it is approved, and no payout of it may have paid it."""
    if refund.state != Refund.State.APPROVED:
        return False
    return not refund.payouts.exclude(state=PayoutState.FAILED).exists()


def _may_be_cancelled(refund: Refund) -> bool:
    return refund.state == Refund.State.PROPOSED or _is_not_paid_out(refund)


def _send_payout(refund: Refund, actor: str, reason: str) -> Outcome:
    try:
        payout = payouts.approve_and_send(refund.pk, reason=reason, actor=actor, source=Source.ADMIN)
    except NotAllowedError as refusal:
        return Outcome(Result.SKIPPED, refusal.message)
    if payout.life_state is PayoutState.FAILED:
        return Outcome(Result.FAILED, payout_pages.cause_text(payout.reason_code))
    if payout.life_state is PayoutState.UNKNOWN:
        text = _("The outcome is unknown: it may have been paid. It is not sent again. Look for it in the dashboard.")
        return Outcome(Result.FAILED, text)
    if payout.life_state is PayoutState.CREATED:
        return Outcome(Result.DONE, _("FeexPay cannot be reached now: the worker will send it."))
    return Outcome(Result.DONE)


APPROVE = ConfirmedAction(
    name="approve",
    permission=refund_pages.PERMISSION,
    title=gettext_lazy("Approve the refund"),
    explanation=gettext_lazy(
        "Approve it only if you have seen that this money went back to the payer. The refund then counts, the shop is "
        "told, and it cannot be changed any more. You cannot approve what you proposed yourself."
    ),
    run=done_or_skipped(refunds.approve),
    skipped_as=StaffAction.Action.APPROVE_REFUND,
    applies=_waits,
    bulk=False,
)
SEND_PAYOUT = ConfirmedAction(
    name="send_payout",
    permission=payout_pages.PERMISSION,
    title=gettext_lazy("Approve and send the payout"),
    explanation=gettext_lazy(
        "This is live money: FeexPay pays the amount below out of your balance to the phone below, now. It cannot be "
        "taken back. FeexPay's payouts were never tried with this software: check the first ones in the dashboard. You "
        "cannot approve what you proposed yourself."
    ),
    run=_send_payout,
    skipped_as=StaffAction.Action.SEND_PAYOUT,
    applies=_waits_for_payout,
    bulk=False,
    columns=("payment_shown", "amount_shown", "phone_shown", "route_shown", "proposer", "reason"),
)
CANCEL = ConfirmedAction(
    name="cancel",
    permission=refund_pages.PERMISSION,
    title=gettext_lazy("Cancel the refund"),
    explanation=gettext_lazy(
        "The proposed refund does not count any more. Cancel it only if the money was not paid back."
    ),
    run=done_or_skipped(refunds.cancel),
    skipped_as=StaffAction.Action.CANCEL_REFUND,
    applies=_may_be_cancelled,
    bulk=False,
)


@admin.register(Refund)
class RefundAdmin(ExportedListAdmin, PaymentRowsAdmin, ConfirmedActionsAdmin):
    """Refunds, newest first, with the sums of the filtered list."""

    export_columns = export_columns.REFUNDS
    list_display = (
        "proposed_at",
        "state_shown",
        "payment_shown",
        "amount_shown",
        "way",
        "outside_reference",
        "gateway_reference",
        "reason",
    )
    list_filter = ("state", "way", CurrencyFilter, ("recorded_at", PeriodFilter))
    list_select_related = ("payment", "attempt")
    ordering = ("-id",)
    confirmed_actions = (APPROVE, SEND_PAYOUT, CANCEL)
    change_form_template = "admin/feexpay/refund/change_form.html"
    confirm_columns = ("payment_shown", "amount_shown", "way", "outside_reference", "proposer", "reason")
    change_list_template = "admin/feexpay/refund/change_list.html"
    fieldsets = (
        (None, {"fields": ("state_shown", "amount_shown", "way", "outside_reference", "reason")}),
        (
            gettext_lazy("The charge"),
            {"fields": ("payment_shown", "incident_shown", "charge_shown", "gateway_reference", "phone_shown")},
        ),
        (
            gettext_lazy("Who and when"),
            {
                "fields": (
                    *("proposer", "proposed_at", "approver", "approved_at", "recorded_at"),
                    *("canceller", "cancelled_at", "source"),
                )
            },
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        record = self.admin_site.admin_view(self.record_view)
        return [
            path(f"{refund_pages.RECORD}/", record, name=f"feexpay_refund_{refund_pages.RECORD}"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        rows = context["original"].payouts.order_by("created_at")
        context["payouts"] = payout_pages.payouts_of(request, rows)
        return super().render_change_form(request, context, *args, **kwargs)

    @method_decorator(require_http_methods(["GET", "POST"]))
    @log_context.entry_point(log_context.ADMIN)
    def record_view(self, request: HttpRequest) -> HttpResponse:
        return refund_pages.record_refund(self, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)
        if context and "cl" in context:
            context["totals"] = _totals(context["cl"].queryset)
        return response

    def named_beside(self, term: str) -> Q:
        return Q(outside_reference__iexact=term) | Q(gateway_reference__in=spellings_of(term))

    def record_title(self, row: Refund) -> str:
        return money.show(row.amount, row.currency)

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, row: Refund) -> SafeString:
        return refund_pages.state_badge(row)

    @admin.display(description=gettext_lazy("amount"))
    def amount_shown(self, row: Refund) -> SafeString:
        return display.amount(row.amount, row.currency)

    @admin.display(description=gettext_lazy("phone"))
    def phone_shown(self, row: Refund) -> SafeString:
        return display.line(row.attempt.masked_msisdn)

    @admin.display(description=gettext_lazy("route at FeexPay"))
    def route_shown(self, row: Refund) -> str:
        route = PAYOUT_ROUTES.get(row.payment.provider_id)
        return display.EMPTY if route is None else f"{row.payment.provider} · {route.path}"

    @admin.display(description=gettext_lazy("incident"))
    def incident_shown(self, row: Refund) -> str:
        return display.EMPTY if row.incident is None else row.incident.get_kind_display()

    @admin.display(description=gettext_lazy("charge"))
    def charge_shown(self, row: Refund) -> str:
        return _("the credited charge") if row.credited else _("a second charge, not credited")

    @admin.display(description=gettext_lazy("recorded or proposed by"))
    def proposer(self, row: Refund) -> str:
        return name_of(row.proposed_by)

    @admin.display(description=gettext_lazy("approved by"))
    def approver(self, row: Refund) -> str:
        return name_of(row.approved_by) or display.EMPTY

    @admin.display(description=gettext_lazy("cancelled by"))
    def canceller(self, row: Refund) -> str:
        return name_of(row.cancelled_by) or display.EMPTY


def _totals(rows: QuerySet[Refund]) -> list[SafeString]:
    """The recorded sum in each currency; refunds are few, so this is cheap."""
    recorded = rows.filter(state=Refund.State.RECORDED).order_by().values("currency").annotate(total=Sum("amount"))
    return [display.amount(row["total"], row["currency"]) for row in recorded.order_by("currency")]
