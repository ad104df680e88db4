"""Incidents: staff put them right by hand and close them with a note on what was done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.admin import display
from django_feexpay.admin.confirm_action import ConfirmedActionsAdmin, close_action
from django_feexpay.admin.display import Tone
from django_feexpay.models import Incident, StaffAction
from django_feexpay.payments import incidents


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
class IncidentAdmin(ConfirmedActionsAdmin):
    """Incidents, newest first."""

    list_display = (
        "kind",
        "state",
        "payment_shown",
        "amount_shown",
        "gateway_reference",
        "opened_at",
        "closed_at",
        "note",
    )
    list_filter = (OpenFilter, "kind")
    list_select_related = ("payment", "attempt")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": ("kind", "state", "payment", "attempt", "opened_at", "closed_at", "note")}),
        (gettext_lazy("At FeexPay"), {"fields": ("amount_shown", "gateway_reference", "credited_reference")}),
    )
    confirm_columns = ("kind", "payment_shown", "attempt", "amount_shown", "gateway_reference", "opened_at")
    confirmed_actions = (
        close_action(
            "feexpay.change_incident",
            incidents.close,
            recorded_as=StaffAction.Action.CLOSE_INCIDENT,
            is_open=lambda incident: incident.closed_at is None,
            already_closed=gettext_lazy("This was closed before; its first note stays."),
        ),
    )

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("state"))
    def state(self, incident: Incident) -> SafeString:
        return (
            display.pill(_("Open"), Tone.BAD) if incident.closed_at is None else display.pill(_("Closed"), Tone.QUIET)
        )

    @admin.display(description=gettext_lazy("payment"))
    def payment_shown(self, incident: Incident) -> SafeString | str:
        return display.payment_link(incident.payment_id)

    @admin.display(description=gettext_lazy("amount"))
    def amount_shown(self, incident: Incident) -> SafeString:
        return display.amount_of_charge(incident.amount, incident.currency)
