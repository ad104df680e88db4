"""Incidents: staff record what they refunded, and close each incident with how it ended."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from django_feexpay import log_context
from django_feexpay.admin import display, export_columns, refund_pages
from django_feexpay.admin.display import Tone
from django_feexpay.admin.list_exports import ExportedListAdmin
from django_feexpay.admin.people import name_of
from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.records import PaymentRowsAdmin
from django_feexpay.catalogue.outcomes import spellings_of
from django_feexpay.models import Incident, Refund
from django_feexpay.payments import refunds


class OpenFilter(admin.SimpleListFilter):
    """Open or closed."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", gettext_lazy("Open")), ("closed", gettext_lazy("Closed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Incident]) -> QuerySet[Incident] | None:
        if self.value() not in ("open", "closed"):
            return None
        return queryset.filter(closed_at__isnull=self.value() == "open")


@admin.register(Incident)
class IncidentAdmin(ExportedListAdmin, PaymentRowsAdmin):
    """Incidents, newest first."""

    list_display = (
        "kind",
        "state",
        "payment_shown",
        "amount_shown",
        "gateway_reference",
        "opened_at",
        "closed_at",
        "resolution",
        "note",
    )
    list_filter = (OpenFilter, "kind", "resolution", ("opened_at", PeriodFilter))
    list_select_related = ("payment", "attempt")
    ordering = ("-id",)
    export_columns = export_columns.INCIDENTS
    fieldsets = (
        (None, {"fields": ("kind", "state", "payment", "attempt", "payout", "opened_at")}),
        (gettext_lazy("How it ended"), {"fields": ("resolution", "note", "closer", "closed_at")}),
        (gettext_lazy("At FeexPay"), {"fields": ("amount_shown", "gateway_reference", "credited_reference")}),
    )
    change_form_template = "admin/feexpay/incident/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        close = self.admin_site.admin_view(self.close_view)
        return [path("close/", close, name="feexpay_incident_close"), *super().get_urls()]

    def named_beside(self, term: str) -> Q:
        return Q(gateway_reference__in=spellings_of(term)) | Q(credited_reference__in=spellings_of(term))

    @method_decorator(require_http_methods(["GET", "POST"]))
    @log_context.entry_point(log_context.ADMIN)
    def close_view(self, request: HttpRequest) -> HttpResponse:
        return refund_pages.close_incident(self, request)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        incident: Incident = context["original"]
        charge = refunds.charge_of(incident.payment_id, incident.pk)
        rows = Refund.objects.filter(incident=incident)
        if charge.credited:
            rows = Refund.objects.filter(attempt=incident.attempt_id, credited=True)
        context |= {
            "charge": refund_pages.facts_of(charge),
            "record_url": refund_pages.record_url(request, charge),
            "close_url": refund_pages.close_url(request, incident),
            "refunds": refund_pages.refunds_of(request, list(rows.order_by("id"))),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def record_title(self, row: Incident) -> str:
        return capfirst(row.get_kind_display())

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("state"))
    def state(self, incident: Incident) -> SafeString:
        return (
            display.pill(_("Open"), Tone.BAD) if incident.closed_at is None else display.pill(_("Closed"), Tone.QUIET)
        )

    @admin.display(description=gettext_lazy("amount"))
    def amount_shown(self, incident: Incident) -> SafeString:
        return display.amount_of_charge(incident.amount, incident.currency)

    @admin.display(description=gettext_lazy("closed by"))
    def closer(self, incident: Incident) -> str:
        return name_of(incident.closed_by) or display.EMPTY
