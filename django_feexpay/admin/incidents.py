"""Incidents: what somebody has to put right by hand, and then closes with a note on what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_feexpay.admin import display
from django_feexpay.admin.display import Tone
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.models import Incident
from django_feexpay.payments.incidents import close as close_incident

if TYPE_CHECKING:
    IncidentRows = QuerySet[Incident]
else:
    IncidentRows = QuerySet

MOST_INCIDENTS = 50


class NoteForm(forms.Form):
    """What was done about an incident."""

    note = forms.CharField(
        label=gettext_lazy("What was done"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        help_text=gettext_lazy("For example the reference of the refund. Write no name and no phone number here."),
    )


class OpenFilter(admin.SimpleListFilter):
    """Open or closed."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", gettext_lazy("Open")), ("closed", gettext_lazy("Closed"))]

    def queryset(self, request: HttpRequest, queryset: IncidentRows) -> IncidentRows | None:
        if self.value() not in ("open", "closed"):
            return None
        return queryset.filter(closed_at__isnull=self.value() == "open")


@admin.register(Incident)
class IncidentAdmin(LedgerAdmin):
    """Incidents, newest first. Read-only but for closing, which needs the permission to change incidents."""

    list_display = ("kind", "state", "payment_shown", "amount_shown", "opened_at", "closed_at", "note")
    list_filter = (OpenFilter, "kind")
    list_select_related = ("payment", "attempt")
    ordering = ("-id",)
    fields = ("kind", "state", "payment", "attempt", "amount_shown", "opened_at", "closed_at", "note")
    actions = ("close",)
    change_form_template = "admin/feexpay/incident/change_form.html"

    def has_close_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "change")

    def get_urls(self) -> list[URLPattern]:
        close = self.admin_site.admin_view(self.close_view)
        return [path("close/", close, name="feexpay_incident_close"), *super().get_urls()]

    @admin.action(description=gettext_lazy("Close, with a note"), permissions=["close"])
    def close(self, request: HttpRequest, queryset: IncidentRows) -> HttpResponse | None:
        chosen = list(queryset.values_list("pk", flat=True)[: MOST_INCIDENTS + 1])
        if len(chosen) > MOST_INCIDENTS:
            words = _("At most %(most)d incidents at once: nothing was done. Choose fewer.") % {"most": MOST_INCIDENTS}
            self.message_user(request, words, messages.ERROR)
            return None
        return HttpResponseRedirect(close_address(chosen))

    def close_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for the note; posted with one, close what is still open. Raises: PermissionDenied, Http404."""
        if not (self.has_view_permission(request) and self.has_close_permission(request)):
            raise PermissionDenied
        incidents = _chosen(request)
        form = NoteForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            self._close(request, incidents, form.cleaned_data["note"])
            return HttpResponseRedirect(reverse("admin:feexpay_incident_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Close, with a note"),
            "media": self.media,
            "form": form,
            "incidents": incidents,
        }
        return TemplateResponse(request, "admin/feexpay/incident/confirm.html", context)

    def _close(self, request: HttpRequest, incidents: list[Incident], note: str) -> None:
        closed = [incident for incident in incidents if close_incident(incident.pk, note)]
        for incident in closed:
            self.log_change(request, incident, f"closed: {note}")
        words = ngettext(
            "%(closed)d incident closed, %(skipped)d closed before.",
            "%(closed)d incidents closed, %(skipped)d closed before.",
            len(closed),
        )
        self.message_user(request, words % {"closed": len(closed), "skipped": len(incidents) - len(closed)})

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("state"))
    def state(self, incident: Incident) -> SafeString:
        return (
            display.pill(_("Open"), Tone.BAD) if incident.closed_at is None else display.pill(_("Closed"), Tone.QUIET)
        )

    @admin.display(description=gettext_lazy("payment"))
    def payment_shown(self, incident: Incident) -> SafeString:
        return display.payment_link(incident.payment_id)

    @admin.display(description=gettext_lazy("amount"))
    def amount_shown(self, incident: Incident) -> SafeString:
        return display.amount(incident.attempt.amount, incident.payment.charged_currency)


def close_address(incident_ids: list[int]) -> str:
    """Where closing these incidents asks for its note."""
    return f"{reverse('admin:feexpay_incident_close')}?{urlencode({'incident': incident_ids}, doseq=True)}"


def _chosen(request: HttpRequest) -> list[Incident]:
    try:
        ids = {int(value) for value in request.GET.getlist("incident")}
    except ValueError:
        raise Http404 from None
    incidents = list(Incident.objects.filter(pk__in=ids).select_related("payment", "attempt"))
    if not 0 < len(incidents) == len(ids) <= MOST_INCIDENTS:
        raise Http404
    return incidents
