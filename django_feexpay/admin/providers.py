"""Providers: staff adjust and switch them, with a reason; only the catalogue adds and removes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from django_feexpay.admin import display, provider_page
from django_feexpay.admin.confirm_action import ConfirmedAction, ConfirmedActionsAdmin, Outcome, Result
from django_feexpay.admin.display import Tone
from django_feexpay.catalogue.provider_spec import ProviderSpec
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Provider
from django_feexpay.payments import provider_changes, staff_actions
from django_feexpay.payments.admission import circuit_breaker, trouble
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.provider_changes import why_not_enabled

if TYPE_CHECKING:
    ProviderModelForm = forms.ModelForm[Provider]
else:
    ProviderModelForm = forms.ModelForm

KINDS = {
    "mobile_money": gettext_lazy("mobile money"),
    "card": gettext_lazy("card"),
    "wallet": gettext_lazy("wallet"),
    "bank_transfer": gettext_lazy("bank transfer"),
}
FLOWS = {
    "push": gettext_lazy("prompt on the phone"),
    "otp": gettext_lazy("one-time code"),
    "redirect": gettext_lazy("operator's page"),
    "hosted": gettext_lazy("FeexPay's page"),
}


class ProviderForm(ProviderModelForm):
    """The adjustable fields, checked against the catalogue."""

    class Meta:
        model = Provider
        fields = (
            *("name", "flow", "enabled", "disabled_reason", "disabled_reason_fr"),
            *("min_amount", "max_amount", "fee_percent"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "flow" in self.fields:  # staff with only the view permission have no such field
            self.fields["flow"] = forms.ChoiceField(
                label=_("flow").capitalize(), choices=self._flows(), help_text=self.fields["flow"].help_text
            )

    def _flows(self) -> list[tuple[str, str]]:
        """The possible flows of this provider, the most likely first."""
        spec = CATALOGUE.get(self.instance.code)
        flows = spec.flows if spec else (self.instance.flow,)
        return [(flow, str(FLOWS[flow])) for flow in flows]

    def clean_enabled(self) -> bool:
        enabled: bool = self.cleaned_data["enabled"]
        reason = why_not_enabled(self.instance.code)
        if enabled and reason:
            raise forms.ValidationError(_("This provider cannot be enabled: %(reason)s"), params={"reason": reason})
        return enabled

    def clean_min_amount(self) -> Any:
        return self._at_least("min_amount", 1)

    def clean_max_amount(self) -> Any:
        return self._at_least("max_amount", self.cleaned_data.get("min_amount", 1))

    def clean_fee_percent(self) -> Any:
        return self._at_least("fee_percent", 0)

    def _at_least(self, name: str, least: int) -> Any:
        value = self.cleaned_data[name]
        if value < least:
            raise forms.ValidationError(_("Must be at least %(least)d."), params={"least": least})
        return value


class FlowFilter(admin.SimpleListFilter):
    """Filter by flow."""

    title = gettext_lazy("flow")
    parameter_name = "flow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(flow, str(text)) for flow, text in FLOWS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Provider]) -> QuerySet[Provider]:
        return queryset.filter(flow=self.value()) if self.value() else queryset


def _close(provider: Provider, actor: str, reason: str) -> Outcome:
    return _switch(provider_changes.close_for_maintenance, provider, actor, reason)


def _open(provider: Provider, actor: str, reason: str) -> Outcome:
    return _switch(provider_changes.open_again, provider, actor, reason)


def _switch(switch: Callable[..., None], provider: Provider, actor: str, reason: str) -> Outcome:
    """Switch one provider; a row that is skipped gets its line in the audit list, too."""
    try:
        switch(provider.pk, reason=reason, actor=actor, source=Source.ADMIN)
    except NotAllowedError as refusal:
        action, skipped = staff_actions.Action.SWITCH_PROVIDER, Result.SKIPPED
        staff_actions.record(action, actor=actor, source=Source.ADMIN, target=provider, result=skipped, reason=reason)
        return Outcome(skipped, refusal.message)
    return Outcome(Result.DONE)


_REASON_HELP = gettext_lazy("Kept for ever: write no name and no phone number here.")
CLOSE = ConfirmedAction(
    name="close_for_maintenance",
    permission=provider_page.PERMISSION,
    title=gettext_lazy("Close for maintenance"),
    explanation=gettext_lazy(
        "Payers can no longer choose these providers, and read that they are under maintenance, in French or in "
        "English. Payments in progress continue. Your reason is for the audit list: payers do not see it."
    ),
    run=_close,
    applies=lambda provider: provider.enabled,
    reason_help=_REASON_HELP,
)
OPEN = ConfirmedAction(
    name="open_again",
    permission=provider_page.PERMISSION,
    title=gettext_lazy("Open again"),
    explanation=gettext_lazy(
        "Payers can choose these providers again, and the text about the interruption is erased. Providers that "
        "FeexPay does not serve stay closed."
    ),
    run=_open,
    applies=lambda provider: not provider.enabled and not why_not_enabled(provider.code),
    reason_help=_REASON_HELP,
)


@admin.register(Provider)
class ProviderAdmin(ConfirmedActionsAdmin):
    """Providers. Each change needs a reason. Updates of the catalogue keep the changes of staff."""

    form = ProviderForm
    list_display = ("name", "code", "country", "kind", "flow_shown", "availability", "limits", "fee")
    list_filter = ("enabled", FlowFilter)
    list_per_page = 100
    sortable_by = ("name", "code", "flow_shown", "availability", "fee")  # a table of a few dozen rows
    search_fields = ("code", "name")
    confirmed_actions = (CLOSE, OPEN)
    confirm_columns = ("name", "country", "availability")
    fieldsets = (
        (None, {"fields": ("code", "name", "country", "kind", "currency", "flow")}),
        (
            gettext_lazy("Availability"),
            {"fields": ("availability", "enabled", "disabled_reason", "disabled_reason_fr")},
        ),
        (gettext_lazy("Amounts"), {"fields": ("min_amount", "max_amount", "fee_percent")}),
    )

    def has_change_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return self.has_view_permission(request) and request.user.has_perm(provider_page.PERMISSION)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["code", "country", "kind", "currency", "availability"]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The form; sent, the page that shows each change and asks for the reason."""
        if request.method == "POST":
            answer = provider_page.answer(self, request, unquote(object_id))
            if answer is not None:
                return answer
        return super().change_view(request, object_id, form_url, extra_context)

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("country"))
    def country(self, provider: Provider) -> str:
        spec = _spec(provider)
        if spec is None:
            return display.EMPTY
        return spec.country_in(get_language() or "") or display.EMPTY

    @admin.display(description=gettext_lazy("kind"))
    def kind(self, provider: Provider) -> str:
        spec = _spec(provider)
        return str(KINDS[spec.kind]) if spec else display.EMPTY

    @admin.display(description=gettext_lazy("flow"), ordering="flow")
    def flow_shown(self, provider: Provider) -> str:
        return str(FLOWS.get(provider.flow, provider.flow))

    @admin.display(description=gettext_lazy("currency"))
    def currency(self, provider: Provider) -> str:
        spec = _spec(provider)
        return spec.currency if spec else display.EMPTY

    @admin.display(description=gettext_lazy("availability"), ordering="enabled")
    def availability(self, provider: Provider) -> SafeString:
        reason = why_not_enabled(provider.code)
        if reason:
            return display.pill_with_text(_("Cannot be enabled"), Tone.DOUBT, reason)
        if provider.enabled:
            return enabled_badge(trouble.circuit_of(provider.code, self._open_circuits(provider)))
        return switched_off_badge(provider)

    def _open_circuits(self, provider: Provider) -> list[str]:
        """Read once for all rows of a list, else for this one."""
        circuits: list[str] | None = getattr(provider, "open_circuits", None)
        return circuit_breaker.open_circuits((provider.code,)) if circuits is None else circuits

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        circuits = circuit_breaker.open_circuits([provider.pk for provider in changes.result_list])
        for provider in changes.result_list:
            provider.open_circuits = circuits
        return changes

    @admin.display(description=gettext_lazy("limits"))
    def limits(self, provider: Provider) -> str:
        spec = _spec(provider)
        if spec is None:
            return display.EMPTY
        return display.between(provider.min_amount, provider.max_amount, spec.currency)

    @admin.display(description=gettext_lazy("fee"), ordering="fee_percent")
    def fee(self, provider: Provider) -> SafeString:
        return display.percent(provider.fee_percent)


def enabled_badge(circuit: str) -> SafeString:
    """The badge of an enabled provider, by the open circuit that stops it ("": none does)."""
    if circuit:
        return display.pill_with_text(_("In trouble"), Tone.BAD, trouble.problem(circuit))
    return display.pill(_enabled_text(True), Tone.GOOD)


def switched_off_badge(provider: Provider) -> SafeString:
    return display.pill_with_text(_enabled_text(False), Tone.QUIET, provider.disabled_words(get_language() or ""))


def _enabled_text(enabled: bool) -> str:
    """Not "Enabled": another app may translate that word with another gender, and its text may win."""
    return _("Switched on") if enabled else _("Switched off")


def _spec(provider: Provider) -> ProviderSpec | None:
    """The catalogue's row; None if a release removed it."""
    return CATALOGUE.get(provider.code)
