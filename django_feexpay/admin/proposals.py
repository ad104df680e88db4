"""The list of proposed decisions, in which a second person finds those to approve."""

from __future__ import annotations

from uuid import UUID

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_feexpay.admin import display
from django_feexpay.admin.people import name_of
from django_feexpay.admin.records import PaymentRowsAdmin, of_attempts
from django_feexpay.admin.review_page import outcome_badge
from django_feexpay.models import ReviewProposal


@admin.register(ReviewProposal)
class ReviewProposalAdmin(PaymentRowsAdmin):
    """Proposals to close a review, newest first. Staff approve them on the payment's page."""

    list_display = ("proposed_at", "outcome_shown", "payment_shown", "decision", "amount_shown", "reason")
    list_filter = ("outcome",)
    list_select_related = ("attempt__payment",)
    ordering = ("-id",)
    fields = (
        *("payment_shown", "attempt", "decision", "reason", "amount_shown", "gateway_word", "taken_shown"),
        *("source", "proposed_by_shown", "proposed_at", "outcome_shown", "ended_by_shown", "ended_at"),
    )

    def of_payments(self, ids: list[UUID]) -> Q:
        return of_attempts(ids)

    @admin.display(description=_("payment"))
    def payment_shown(self, row: ReviewProposal) -> SafeString | str:
        return display.payment_link(row.attempt.payment_id)

    @admin.display(description=_("outcome"))
    def outcome_shown(self, row: ReviewProposal) -> SafeString:
        return outcome_badge(row)

    @admin.display(description=_("amount asked for"))
    def amount_shown(self, row: ReviewProposal) -> SafeString:
        return display.amount(row.attempt.amount, row.attempt.payment.charged_currency)

    @admin.display(description=_("FeexPay's amount"))
    def taken_shown(self, row: ReviewProposal) -> SafeString | str:
        if row.gateway_amount is None:
            return display.EMPTY
        return display.amount(row.gateway_amount, row.attempt.payment.charged_currency)

    @admin.display(description=_("proposed by"))
    def proposed_by_shown(self, row: ReviewProposal) -> str:
        return name_of(row.proposed_by)

    @admin.display(description=_("ended by"))
    def ended_by_shown(self, row: ReviewProposal) -> str:
        return name_of(row.ended_by) or display.EMPTY
