"""The statement of a period: a page to read and print, and the same table as a file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay import report_files, statement_table
from django_feexpay.admin import display, report_files_page
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.payment_page import MAX_ROWS
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.models import Provider
from django_feexpay.payments import shop_days, staff_actions, statements
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import settlement
from django_feexpay.payments.statements import LONGEST_DAYS, Figures, Period, Statement
from django_feexpay.table_files import FORMATS, ExportError, download

logger = logging.getLogger("django_feexpay.admin")

PERMISSION = "feexpay.view_statement"

#: How many months the page offers by name.
_MONTHS = 4


class _DateInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")  # what browsers accept, in every language


class PeriodForm(forms.Form):
    """Days of the shop's time zone, and a provider or all. Its names stand in the address."""

    first_day = forms.DateField(label=gettext_lazy("From"), widget=_DateInput, input_formats=["%Y-%m-%d"])
    last_day = forms.DateField(label=gettext_lazy("To"), widget=_DateInput, input_formats=["%Y-%m-%d"])
    provider = forms.ModelChoiceField(
        Provider.objects.order_by("name", "code"),
        label=gettext_lazy("Provider"),
        required=False,
        empty_label=gettext_lazy("All"),
    )

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        first_day, last_day = values.get("first_day"), values.get("last_day")
        if first_day and last_day:
            if first_day > last_day:
                raise ValidationError(_("The first day is after the last."))
            if (last_day - first_day).days >= LONGEST_DAYS:
                raise ValidationError(_("A statement has at most %d days.") % LONGEST_DAYS)
        return values


def show(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponseBase:
    """The statement of the address, by default of last month; by POST as a file, or with the balance at FeexPay.

    Call it outside a transaction: it may ask FeexPay.
    Changes: StaffAction, for a file and for the balance. Raises: PermissionDenied.
    """
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    form = PeriodForm(_asked(request))
    statement = _statement(form) if form.is_valid() else None
    if statement is not None and request.POST.get("format") in FORMATS:
        return _file(model_admin, request, statement, form.cleaned_data["provider"])
    context = {
        **page_context(model_admin, request, _("Statement")),
        "form": form,
        "months": _months(form),
        "time_zone": str(shop_days.time_zone()),
    }
    if statement is not None:
        context |= _shown(statement, request) | _settlement(statement, form, request)
        if request.POST.get("ask") == "balance":
            context |= _balances(str(request.user.pk))
    return TemplateResponse(request, "admin/feexpay/credit/statement.html", context)


def _asked(request: HttpRequest) -> dict[str, Any]:
    last_month = Period.last_month()
    default = {"first_day": last_month.first_day, "last_day": last_month.last_day, "provider": ""}
    return default | {name: request.GET[name] for name in default if name in request.GET}


def _statement(form: PeriodForm) -> Statement:
    chosen = form.cleaned_data
    period = Period(chosen["first_day"], chosen["last_day"])
    return statements.make(period, chosen["provider"].pk if chosen["provider"] else "")


def _months(form: PeriodForm) -> list[dict[str, Any]]:
    """This month and those before it, newest first, each with its address; the provider stays."""
    months, day = [], shop_days.today()
    provider = str(form["provider"].value() or "")
    for _count in range(_MONTHS):
        period = Period.month_of(day)
        query = urlencode({"first_day": str(period.first_day), "last_day": str(period.last_day), "provider": provider})
        is_shown = form.is_valid() and period == Period(form.cleaned_data["first_day"], form.cleaned_data["last_day"])
        months.append({"name": date_format(period.first_day, "F Y"), "query": query, "is_shown": is_shown})
        day = period.first_day - timedelta(days=1)
    return months


def _file(
    model_admin: AnyModelAdmin, request: HttpRequest, statement: Statement, provider: Provider | None
) -> HttpResponseBase:
    table = statement_table.table(statement)
    name = request.POST["format"]
    chosen = {
        "first_day": str(statement.period.first_day),
        "last_day": str(statement.period.last_day),
        "provider": provider.pk if provider else "",
    }
    if report_files.is_large(name, table.count):
        return report_files_page.ask(
            request, list_name="statement", query=urlencode(chosen), table=table, file_format=name, filter=chosen
        )
    try:
        response = download(table, name)
    except ExportError as error:
        model_admin.message_user(request, str(error), messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())
    staff_actions.record(
        staff_actions.Action.EXPORT,
        actor=str(request.user.pk),
        source=Source.ADMIN,
        detail={
            "list": "statement",
            "format": name,
            "count": table.count,
            "filter": chosen,
        },
    )
    return response


def _open(query: str, user: Any) -> report_files.Rows:
    """The statement of a query string, for the background work. Raises: ExportError."""
    form = PeriodForm(QueryDict(query))
    if not form.is_valid():
        raise ExportError("the period or the provider does not exist any more")
    table = statement_table.table(_statement(form))

    def after(cursor: report_files.Cursor) -> Iterator[report_files.Slice]:
        if not cursor:  # a statement is one slice
            yield [list(row) for row in table.rows], ["all"]

    return report_files.Rows(table.heads, after)


def _may(user: Any) -> bool:
    return bool(user.is_active and user.is_staff and user.has_perm(PERMISSION))


report_files.register("statement", report_files.Source(may=_may, open=_open))


# --- what the template shows ---------------------------------------------------------------------------


def _shown(statement: Statement, request: HttpRequest) -> dict[str, Any]:
    return {
        "period": statement.period,
        "totals": [
            {"currency": currency, "cells": _cells(figures, currency), "net": display.amount(figures.net, currency)}
            for currency, figures in statement.totals.items()
        ],
        "heads": _heads(),
        "sections": [
            {
                "provider": section.provider,
                "currency": section.currency,
                "total": _cells(section.total, section.currency),
                "days": [{"day": line.day, "cells": _cells(line.figures, section.currency)} for line in section.lines],
            }
            for section in statement.sections
        ],
        "reconciled": statement_table.reconciled(statement),
        "is_reconciled": not statement.unreconciled,
        "owed": any(figures.double_charges for figures in statement.totals.values()),
        "incidents_url": _list_for(request, "incident"),
    }


def _heads() -> list[str]:
    return [_("credits"), _("gross"), _("double charges"), _("reversals"), _("fees"), _("refunds"), _("net")]


def _cells(figures: Figures, currency: str) -> list[dict[str, Any]]:
    """The cells of a row, each with its heading: on a phone the table becomes a list."""
    values = [
        figures.credit_count,
        display.amount(figures.gross, currency),
        _counted(figures.double_charge_count, figures.double_charges, currency),
        _counted(figures.reversal_count, figures.reversals, currency),
        display.amount(figures.fees, currency),
        _counted(figures.refund_count, figures.refunds, currency),
        display.amount(figures.net, currency),
    ]
    return [{"head": head, "value": value} for head, value in zip(_heads(), values, strict=True)]


def _counted(count: int, amount: int, currency: str) -> SafeString:
    """An amount with its count behind it; a dash where nothing happened."""
    if not count:
        return display.line("")
    return format_html('{} <span class="feexpay-count">({})</span>', display.amount(amount, currency), count)


# --- beside FeexPay ------------------------------------------------------------------------------------


def _settlement(statement: Statement, form: PeriodForm, request: HttpRequest) -> dict[str, Any]:
    """What FeexPay's history says about this statement, with links for those who may follow them."""
    provider = form.cleaned_data["provider"]
    found = settlement.settle(statement, provider.pk if provider else "")
    return {
        "sums": [_sum_cells(each) for each in found.sums],
        "differences": [_difference_cells(each, request) for each in found.differences[:MAX_ROWS]],
        "difference_count": len(found.differences),
        "uncompared_count": len(found.uncompared),
        "uncompared_first": found.uncompared[0] if found.uncompared else None,
        "uncompared_last": found.uncompared[-1] if found.uncompared else None,
        "comparisons_url": _list_for(request, "comparison"),
        "discrepancies_url": _list_for(request, "discrepancy"),
    }


def _sum_cells(sums: settlement.Sums) -> dict[str, Any]:
    values = (sums.ours, sums.difference, sums.theirs)
    return {
        "currency": sums.currency or _("currency not named"),
        "cells": [display.amount_of_charge(value, sums.currency) for value in values],
    }


def _difference_cells(difference: settlement.Difference, request: HttpRequest) -> dict[str, Any]:
    row = difference.row
    may_open = request.user.has_perm("feexpay.view_discrepancy")
    return {
        "kind": row.get_kind_display(),
        "url": reverse("admin:feexpay_discrepancy_change", args=[row.pk]) if may_open else "",
        "reference": row.gateway_reference,
        "payment": display.payment_link(row.payment_id) if request.user.has_perm("feexpay.view_payment") else "",
        "effect": display.amount_of_charge(difference.effect, row.currency),
    }


def _list_for(request: HttpRequest, model_name: str) -> str:
    """The address of a list, for those who may read it."""
    may_read = request.user.has_perm(f"feexpay.view_{model_name}")
    return reverse(f"admin:feexpay_{model_name}_changelist") if may_read else ""


def _balances(actor: str) -> dict[str, Any]:
    """FeexPay's balance now, or that it gave none.

    Changes: StaffAction.
    """
    result, found = staff_actions.Result.DONE, dict[str, int]()
    try:
        found = settlement.balances()
    except GatewayError as error:
        logger.warning("FeexPay did not answer with the balance: %s", error.code)
        result = staff_actions.Result.FAILED
    action, detail = staff_actions.Action.RECONCILE, {"step": "asked_for_balance"}
    staff_actions.record(action, actor=actor, source=Source.ADMIN, result=result, detail=detail)
    if result is staff_actions.Result.FAILED:
        return {"balance_failed": True}
    return {
        "balances": [{"name": name, "amount": f"{amount:,}".replace(",", "\u00a0")} for name, amount in found.items()]
    }
