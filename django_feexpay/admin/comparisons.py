"""Comparisons with FeexPay's history, and the differences they found."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.admin import discrepancy_cells, display, export_columns
from django_feexpay.admin.confirm_action import ConfirmedActionsAdmin, close_action
from django_feexpay.admin.display import Tone
from django_feexpay.admin.list_exports import ExportedListAdmin
from django_feexpay.admin.payment_page import MAX_ROWS
from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.admin.records import PaymentRowsAdmin
from django_feexpay.catalogue.outcomes import spellings_of
from django_feexpay.models import Comparison, Discrepancy, Finding, StaffAction
from django_feexpay.payments.reconciliation import discrepancies

#: The list filter for the differences of one comparison.
_COMPARISON_FILTER = "findings__comparison__id__exact"


@admin.register(Comparison)
class ComparisonAdmin(LedgerAdmin):
    """Comparisons, newest first; the page of one shows the differences it saw."""

    list_display = (
        "period",
        "state_shown",
        "found_count",
        "settled_count",
        "open_count",
        "at_stake_shown",
        "compared_count",
        "foreign_count",
        "gap_count",
        "started_at",
    )
    list_filter = ("state", ("night", admin.EmptyFieldListFilter))
    ordering = ("-id",)
    change_form_template = "admin/feexpay/comparison/change_form.html"
    fieldsets = (
        (None, {"fields": ("period", "night", "state_shown", "started_at", "finished_at", "start_count")}),
        (gettext_lazy("Differences"), {"fields": ("found_count", "settled_count", "open_count", "at_stake_shown")}),
        (
            gettext_lazy("FeexPay's history"),
            {"fields": ("row_count", "compared_count", "foreign_count", "unproven_count", "question_count")},
        ),
        (gettext_lazy("Gaps"), {"fields": ("gap_count", "gaps_shown")}),
    )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        comparison: Comparison | None = context.get("original")
        if comparison is not None and request.user.has_perm("feexpay.view_discrepancy"):
            rows = comparison.findings.order_by("-id").select_related("difference__payment", "difference__attempt")
            context["findings"] = [_finding_cells(finding) for finding in rows[:MAX_ROWS]]
            context["most_rows"] = MAX_ROWS
            query = urlencode({_COMPARISON_FILTER: comparison.pk})
            context["discrepancies_url"] = f"{reverse('admin:feexpay_discrepancy_changelist')}?{query}"
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("period (UTC)"))
    def period(self, comparison: Comparison) -> SafeString:
        return display.line(str(comparison))

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, comparison: Comparison) -> SafeString:
        return discrepancy_cells.state(comparison)

    @admin.display(description=gettext_lazy("money at stake"))
    def at_stake_shown(self, comparison: Comparison) -> SafeString | int:
        count = comparison.at_stake_count
        return display.pill(count, Tone.BAD) if count else count

    @admin.display(description=gettext_lazy("unreadable parts"))
    def gaps_shown(self, comparison: Comparison) -> SafeString | str:
        return display.json_block(comparison.gaps)


@admin.register(Discrepancy)
class DiscrepancyAdmin(ExportedListAdmin, PaymentRowsAdmin, ConfirmedActionsAdmin):
    """Differences, newest first."""

    list_display = (
        "kind_shown",
        "state_shown",
        "stake_shown",
        "payment_shown",
        "ours",
        "theirs",
        "outcome",
        "found_at",
        "note",
    )
    list_filter = ("state", "money_at_stake", "kind", ("found_at", PeriodFilter))
    list_select_related = ("payment", "attempt")
    ordering = ("-id",)
    export_columns = export_columns.DISCREPANCIES
    confirm_columns = ("kind_shown", "payment_shown", "ours", "theirs", "gateway_reference", "found_at")
    confirmed_actions = (
        close_action(
            "feexpay.change_discrepancy",
            discrepancies.close,
            title=gettext_lazy("Close the difference"),
            recorded_as=StaffAction.Action.CLOSE_DISCREPANCY,
            is_open=lambda row: row.state == Discrepancy.State.OPEN,
            already_closed=gettext_lazy("This difference was closed before: nothing was changed."),
        ),
    )
    fieldsets = (
        (None, {"fields": ("kind_shown", "state_shown", "stake_shown", "outcome", "ended_at", "note")}),
        (gettext_lazy("Here"), {"fields": ("payment", "attempt", "ours")}),
        (gettext_lazy("At FeexPay"), {"fields": ("gateway_reference", "theirs", "their_date", "echo")}),
        (gettext_lazy("Found"), {"fields": ("found_at", "comparison", "last_comparison", "ended_by")}),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """A comparison's page leads to its differences."""
        return lookup == _COMPARISON_FILTER or super().lookup_allowed(lookup, value, request)

    def named_beside(self, term: str) -> Q:
        return Q(gateway_reference__in=spellings_of(term))

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("kind"))
    def kind_shown(self, row: Discrepancy) -> str:
        return row.get_kind_display()

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, row: Discrepancy) -> SafeString:
        return discrepancy_cells.state(row)

    @admin.display(description=gettext_lazy("money at stake"))
    def stake_shown(self, row: Discrepancy) -> SafeString:
        if not row.money_at_stake:
            return display.line("")
        return display.pill(_("yes"), Tone.BAD if row.state == Discrepancy.State.OPEN else Tone.QUIET)

    @admin.display(description=gettext_lazy("here"))
    def ours(self, row: Discrepancy) -> SafeString | str:
        return discrepancy_cells.ours(row)

    @admin.display(description=gettext_lazy("at FeexPay"))
    def theirs(self, row: Discrepancy) -> SafeString | str:
        return discrepancy_cells.theirs(row)


@admin.register(Finding)
class FindingAdmin(LedgerAdmin):
    """The state in which each comparison left a difference, newest first."""

    list_display = ("difference", "comparison", "is_open", "money_at_stake")
    list_filter = ("is_open", "money_at_stake")
    list_select_related = ("comparison", "difference")
    ordering = ("-id",)
    fields = ("difference", "comparison", "is_open", "money_at_stake")


def _finding_cells(finding: Finding) -> dict[str, Any]:
    """A difference as this comparison left it, and its state now."""
    row = finding.difference
    left = (
        display.pill(_("open"), Tone.BAD)
        if finding.is_open
        else display.pill(_("settled by FeexPay's answer"), Tone.GOOD)
    )
    stake = display.pill(_("yes"), Tone.BAD) if finding.is_open and finding.money_at_stake else display.line("")
    return {
        "row": row,
        "left": left,
        "stake": stake,
        "state": discrepancy_cells.state(row),
        "ours": discrepancy_cells.ours(row),
        "theirs": discrepancy_cells.theirs(row),
    }
