"""Providers: staff adjust them; only the catalogue adds and removes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from django_feexpay.admin import display
from django_feexpay.admin.display import Tone
from django_feexpay.catalogue.provider_spec import ProviderSpec
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Provider
from django_feexpay.payments import staff_actions
from django_feexpay.payments.admission import circuit_breaker, trouble
from django_feexpay.payments.ledger import Source

if TYPE_CHECKING:
    ProviderModelAdmin = admin.ModelAdmin[Provider]
    ProviderModelForm = forms.ModelForm[Provider]
else:
    ProviderModelAdmin = admin.ModelAdmin
    ProviderModelForm = forms.ModelForm


#: In English and in French, because payers read both.
MAINTENANCE = (
    "Under maintenance, back soon. Please choose another way to pay.",
    "En maintenance, de retour bientôt. Merci de choisir un autre moyen de paiement.",
)


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


def unavailable_reason(code: str) -> str:
    """Why staff cannot switch this provider on, in the reader's language; "" if they can."""
    spec = CATALOGUE.get(code)
    if spec is None:
        return _("This version's catalogue does not have this provider.")
    if not spec.unavailable_reason:
        return ""
    text = spec.unavailable_text_fr if (get_language() or "").startswith("fr") else spec.unavailable_text_en
    return text or spec.unavailable_reason


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
        reason = unavailable_reason(self.instance.code)
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
    """By flow."""

    title = gettext_lazy("flow")
    parameter_name = "flow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(flow, str(text)) for flow, text in FLOWS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Provider]) -> QuerySet[Provider]:
        return queryset.filter(flow=self.value()) if self.value() else queryset


@admin.register(Provider)
class ProviderAdmin(ProviderModelAdmin):
    """Providers. Updates of the catalogue keep the changes of staff."""

    form = ProviderForm
    list_display = ("name", "code", "country", "kind", "flow_shown", "availability", "limits", "fee")
    list_filter = ("enabled", FlowFilter)
    list_per_page = 100
    actions = ("close_for_maintenance", "open_again")
    search_fields = ("code", "name")  # a table of a few dozen rows
    readonly_fields = ("code", "country", "kind", "currency", "availability")
    fieldsets = (
        (None, {"fields": ("code", "name", "country", "kind", "currency", "flow")}),
        (
            gettext_lazy("Availability"),
            {"fields": ("availability", "enabled", "disabled_reason", "disabled_reason_fr")},
        ),
        (gettext_lazy("Amounts"), {"fields": ("min_amount", "max_amount", "fee_percent")}),
    )

    class Media:
        css = {"all": ("feexpay/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Provider, form: ProviderForm, change: bool) -> None:
        """Save, and write the changed values to the audit list; the page's view runs in one transaction."""
        super().save_model(request, obj, form, change)
        changed = {name: str(form.cleaned_data[name]) for name in form.changed_data}
        if changed:
            before = {name: str(form.initial.get(name, "")) for name in form.changed_data}
            self._record(request, obj, {"before": before, "after": changed})

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing: `save_model` and the actions write the audit list."""

    def _record(self, request: HttpRequest, provider: Provider, detail: dict[str, Any]) -> None:
        staff_actions.record(
            staff_actions.Action.SWITCH_PROVIDER,
            actor=str(request.user.pk),
            source=Source.ADMIN,
            target=provider,
            detail=detail,
        )

    # --- maintenance ---------------------------------------------------------------------------------

    @admin.action(description=gettext_lazy("Close for maintenance"), permissions=["change"])
    def close_for_maintenance(self, request: HttpRequest, providers: QuerySet[Provider]) -> None:
        """Switch providers off with a reason for payers. Payments in progress continue."""
        for provider in providers.filter(enabled=True):
            provider.enabled = False
            provider.disabled_reason, provider.disabled_reason_fr = MAINTENANCE
            self._save(request, provider, "closed for maintenance")

    @admin.action(description=gettext_lazy("Open again"), permissions=["change"])
    def open_again(self, request: HttpRequest, providers: QuerySet[Provider]) -> None:
        """Switch providers on, except those that the catalogue marks unavailable."""
        for provider in providers.filter(enabled=False):
            if not unavailable_reason(provider.code):
                provider.enabled, provider.disabled_reason, provider.disabled_reason_fr = True, "", ""
                self._save(request, provider, "opened again")

    @transaction.atomic
    def _save(self, request: HttpRequest, provider: Provider, change: str) -> None:
        provider.save()
        self._record(request, provider, {"change": change})
        self.message_user(request, f"{provider}: {_enabled_text(provider.enabled)}")

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("country"))
    def country(self, provider: Provider) -> str:
        spec = _spec(provider)
        if spec is None:
            return display.EMPTY
        name = spec.country_name_fr if (get_language() or "").startswith("fr") else spec.country_name_en
        return name or display.EMPTY

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
        reason = unavailable_reason(provider.code)
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
        return display.line(f"{provider.fee_percent.normalize():f} %")


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
