"""Find payments by phone number without storing it, and the filters of the list of payments."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from django_feexpay.admin import display
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.people import name_of
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.catalogue.money import CURRENCIES
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import possible_msisdns
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.models.fields import msisdn_hashes
from django_feexpay.payments import staff_actions
from django_feexpay.payments.attempts import unsealed
from django_feexpay.payments.ledger import Source
from django_feexpay.private import PrivateText

#: An address names at most this many attempts of a payer: two for each key of a HASH_KEY with five keys.
_MOST_KEYS = 10


# --- by number ---------------------------------------------------------------------------------------


class WriteOnlyInput(forms.TextInput):
    """An input that never shows its value again, so that no page holds the number."""

    def format_value(self, value: Any) -> None:
        return None


class NumberForm(forms.Form):
    """A payer's number in any usual format."""

    phone = forms.CharField(
        label=gettext_lazy("Phone number"),
        max_length=40,
        widget=WriteOnlyInput(attrs={"autocomplete": "off", "inputmode": "tel", "autofocus": True}),
        help_text=gettext_lazy("The whole number, best with its country code, for example +229 01 …"),
    )


@sensitive_variables()
def msisdns(phone: str) -> list[Msisdn]:
    """Every msisdn that this number can mean: without a country code there may be several.

    No error report shows the number.
    """
    return possible_msisdns(phone)


@sensitive_variables()
def hashes_by_number(phone: str) -> list[tuple[str, ...]]:
    """The keyed hashes of each of `msisdns`, by each of HASH_KEY."""
    return sorted(msisdn_hashes(msisdn) for msisdn in msisdns(phone))


def find_by_number(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponse:
    """Ask for a number by POST, then redirect to the list of that payer's payments.

    The address of the list names one attempt of the payer, so the number is in no URL, page or log.
    Raises: PermissionDenied.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    form = NumberForm(request.POST if request.method == "POST" else None)
    request.POST = QueryDict()  # error reports quote POST
    hashes = hashes_by_number(PrivateText(form.cleaned_data["phone"])) if form.is_valid() else []
    if form.is_valid() and not hashes:
        form.add_error("phone", _("This is not a phone number of a country with a provider."))
    payers = _payers(request, hashes)
    if len(payers) == 1:
        return HttpResponseRedirect(_list_of(payers[0]))
    context = {
        **page_context(model_admin, request, _("Find by phone number")),
        "form": form,
        "not_found": bool(hashes) and not payers,
        "payers": [{"masked": payer[0].masked_msisdn, "url": _list_of(payer)} for payer in payers],
    }
    return TemplateResponse(request, "admin/feexpay/payment/find.html", context)


@sensitive_variables()
def find_from_box(request: HttpRequest, phone: str) -> HttpResponse:
    """Look up a number that was typed into a search box, and redirect to that payer's payments.

    If there is not exactly one payer: to the page *Find by phone number*, with a message.
    """
    if not request.user.has_perm("feexpay.view_payment"):
        messages.error(request, _("This looks like a phone number. You may not search for one: nothing was searched."))
        return HttpResponseRedirect(request.path)
    hashes = hashes_by_number(phone)
    payers = _payers(request, hashes)
    if len(payers) == 1:
        return HttpResponseRedirect(_list_of(payers[0]))
    if payers:
        text = _("This number can belong to several payers. Type it here with its country code.")
    elif hashes:
        text = _("No payment was started with this number.")
    else:
        text = _("This is not a phone number of a country with a provider.")
    hint = _("Is it a reference or the beginning of an id? Write # in front of it in the search box.")
    messages.warning(request, f"{text} {hint}")
    return HttpResponseRedirect(reverse("admin:feexpay_payment_find"))


def _payers(request: HttpRequest, numbers: list[tuple[str, ...]]) -> list[list[Attempt]]:
    """The newest attempt of each payer with one of these numbers; while HASH_KEY is rotated, one for each key.

    Changes: StaffAction, if there was a number: that it was looked up, how many payers were found, and the payment if
    there is only one.
    """
    if not numbers:
        return []
    payers = [payer for hashes in numbers if (payer := _newest_of_each(hashes))]
    staff_actions.record(
        staff_actions.Action.LOOK_UP_NUMBER,
        actor=str(request.user.pk),
        source=Source.ADMIN,
        target=payers[0][0].payment if len(payers) == 1 else None,
        detail={"found": len(payers)},
    )
    return payers


def _newest_of_each(hashes: tuple[str, ...]) -> list[Attempt]:
    """The newest attempt with each of these hashes of one number, the newest of all first."""
    attempts = Attempt.objects.select_related("payment")
    newest = (attempts.filter(msisdn_hash=each).order_by("-created_at").first() for each in hashes)
    return sorted(filter(None, newest), key=lambda attempt: attempt.created_at, reverse=True)


def _list_of(payer: list[Attempt]) -> str:
    return same_payer_list(*(attempt.pk for attempt in payer))


def same_payer_list(*attempt_ids: UUID) -> str:
    """The address of the list of payments of the payer of these attempts."""
    ids = ",".join(map(str, attempt_ids))
    return f"{reverse('admin:feexpay_payment_changelist')}?{SamePayerFilter.parameter_name}={ids}"


def payments_of_user(user_id: Any) -> str:
    """The address of the list of a user's payments."""
    return f"{reverse('admin:feexpay_payment_changelist')}?{urlencode({UserFilter.parameter_name: user_id})}"


# --- filters -----------------------------------------------------------------------------------------


class SamePayerFilter(admin.SimpleListFilter):
    """Payments of the payer of the attempts in the address. Hidden unless in use."""

    title = gettext_lazy("payer")
    parameter_name = "same_payer_as"

    def lookups(self, request: HttpRequest, model_admin: AnyModelAdmin) -> list[tuple[str, str]]:
        value = self.value()
        if value is None:
            return []
        attempts = self._attempts(value)
        return [(value, attempts[0].masked_msisdn if attempts else display.EMPTY)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment] | None:
        value = self.value()
        if value is None:
            return None
        hashes = {each for attempt in self._attempts(value) for each in _hashes_of(attempt)}
        if not hashes:
            return queryset.none()
        return queryset.filter(pk__in=Attempt.objects.filter(msisdn_hash__in=hashes).values("payment_id"))

    def _attempts(self, value: str) -> list[Attempt]:
        try:
            return list(Attempt.objects.filter(pk__in=[UUID(each) for each in value.split(",")[:_MOST_KEYS]]))
        except ValueError:
            return []


def _hashes_of(attempt: Attempt) -> set[str]:
    """The hashes of an attempt's number: by each of HASH_KEY while the number can be decrypted, else the stored one."""
    if not attempt.msisdn_hash:
        return set()
    msisdn = unsealed(attempt.msisdn_sealed)
    return {attempt.msisdn_hash, *(msisdn_hashes(Msisdn(**msisdn)) if msisdn else ())}


class UserFilter(admin.SimpleListFilter):
    """Payments of the user in the address. Hidden unless in use."""

    title = gettext_lazy("user")
    parameter_name = "of_user"

    def lookups(self, request: HttpRequest, model_admin: AnyModelAdmin) -> list[tuple[str, str]]:
        value = self.value()
        return [] if value is None else [(value, name_of(value))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment] | None:
        value = self.value()
        if value is None:
            return None
        try:
            return queryset.filter(user_id=get_user_model()._meta.pk.to_python(value))
        except ValidationError:
            return queryset.none()


class ReasonFilter(admin.SimpleListFilter):
    """Payments that did not succeed for the reason in the address. Hidden unless in use."""

    title = gettext_lazy("reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: AnyModelAdmin) -> list[tuple[str, str]]:
        value = self.value()
        return [] if value is None else [(value, value)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment] | None:
        if self.value() is None:
            return None
        ended = (Status.FAILED, Status.REJECTED, Status.EXPIRED)
        return queryset.filter(latest_attempt__reason_code=self.value(), status__in=ended)


class StatusFilter(admin.SimpleListFilter):
    """Filter by status, with the texts of the badges."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: AnyModelAdmin) -> list[tuple[str, Any]]:
        return [(status.value, badge.text) for status, badge in display.BADGES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(status=self.value()) if self.value() else None


class CurrencyFilter(admin.SimpleListFilter):
    """Filter by currency. The choices come from a list: reading them from the rows would scan the table."""

    title = gettext_lazy("currency")
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: AnyModelAdmin) -> list[tuple[str, str]]:
        return [(code, code) for code in CURRENCIES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment] | None:
        return queryset.filter(currency=self.value()) if self.value() else None
