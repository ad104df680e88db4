"""What lists can be narrowed by. A filter that is misspelt or makes no sense is refused, not ignored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import django_filters
from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request

from django_feexpay.api.errors import unknown_field
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.lifecycle import PublicStatus, statuses_of
from django_feexpay.models import Payment, Provider
from django_feexpay.models.payment import PaymentQuerySet

#: What else a page of history may be asked for.
PAGING = frozenset({"cursor", "page_size"})
_COUNTRIES = sorted({spec.country for spec in CATALOGUE.values() if spec.country})
_CURRENCIES = sorted({spec.currency for spec in CATALOGUE.values()} | {"EUR", "USD"})
#: A country or a currency that no provider has: one for all, so that inventing some fills no cache.
OTHER = "other"
_KINDS = sorted({kind for spec in CATALOGUE.values() for kind in (spec.kind, *spec.also_kinds)})
#: Beyond these, an instant cannot be brought into another time zone any more.
_ERA = (
    MinValueValidator(datetime(1970, 1, 1, tzinfo=UTC)),
    MaxValueValidator(datetime(2200, 1, 1, tzinfo=UTC)),
)


class AmountFilter(django_filters.Filter):
    """A whole number that the column can hold."""

    field_class = forms.IntegerField

    def __init__(self, **options: Any) -> None:
        super().__init__(field_name="amount", min_value=0, max_value=2**63 - 1, **options)


class InstantFilter(django_filters.IsoDateTimeFilter):
    """An instant in ISO 8601; without an offset, in the host's time zone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(field_name="created_at", validators=_ERA, **options)


class PaymentFilters(django_filters.FilterSet):
    """The filters of `GET history/`."""

    status = django_filters.ChoiceFilter(
        choices=[(status.value, status.value) for status in PublicStatus], method="by_status"
    )
    provider = django_filters.ChoiceFilter(choices=[(code, code) for code in CATALOGUE], field_name="provider_id")
    currency = django_filters.ChoiceFilter(choices=[(code, code) for code in _CURRENCIES])
    country = django_filters.ChoiceFilter(choices=[(code, code) for code in _COUNTRIES], method="by_country")
    merchant_reference = django_filters.CharFilter(max_length=64)
    idempotency_key = django_filters.CharFilter(max_length=255)
    created_after = InstantFilter(lookup_expr="gte")
    created_before = InstantFilter(lookup_expr="lt")
    amount_min = AmountFilter(lookup_expr="gte")
    amount_max = AmountFilter(lookup_expr="lte")
    search = django_filters.CharFilter(method="by_text", max_length=128)

    class Meta:
        model = Payment
        fields: tuple[str, ...] = ()

    def by_status(self, payments: QuerySet[Payment], name: str, value: str) -> QuerySet[Payment]:
        return payments.filter(status__in=statuses_of(PublicStatus(value)))

    def by_country(self, payments: QuerySet[Payment], name: str, value: str) -> QuerySet[Payment]:
        return payments.filter(provider__in=[code for code, spec in CATALOGUE.items() if spec.country == value])

    def by_text(self, payments: QuerySet[Payment], name: str, value: str) -> QuerySet[Payment]:
        """The start of a merchant reference, a FeexPay reference, or a payment's id."""
        wanted = Q(merchant_reference__istartswith=value) | Q(attempts__gateway_reference=value)
        if (payment_id := _uuid(value)) is not None:
            wanted |= Q(pk=payment_id)
        return payments.filter(pk__in=payments.filter(wanted).values("pk"))


def narrow(payments: PaymentQuerySet, request: Request, *, beside: frozenset[str] = PAGING) -> PaymentQuerySet:
    """Payments by the query string of a request. `beside`: parameters that are no filters. Raises ValidationError."""
    refuse_unknown(request, beside.union(PaymentFilters.base_filters))
    if beside.issuperset(request.query_params):
        return payments  # the form alone would be a seventh of the cost of a page
    filters = PaymentFilters(request.query_params, queryset=payments, request=request)
    _refuse_invalid(filters.form)
    return cast(PaymentQuerySet, filters.qs)


class ProviderFilters(forms.Form):
    """The filters of `GET providers/`. A country FeexPay does not serve still has its cards."""

    country = forms.RegexField(r"^[A-Za-z]{2}\Z", required=False)
    kind = forms.ChoiceField(choices=[(kind, kind) for kind in _KINDS], required=False)
    currency = forms.RegexField(r"^[A-Za-z]{3}\Z", required=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which providers a reader wants; "" is any. What no provider has is all the same OTHER."""

    country: str = ""
    kind: str = ""
    currency: str = ""

    def fits(self, provider: Provider) -> bool:
        """Whether a provider passes what was asked for; what has no country is there for each."""
        spec = provider.spec
        return (
            (not self.country or spec.country in (None, self.country))
            and (not self.kind or self.kind in (spec.kind, *spec.also_kinds))
            and (not self.currency or spec.currency == self.currency)
        )


def wanted(request: Request) -> Wanted:
    """What the query string of a request asks for. Raises ValidationError."""
    if not request.query_params:
        return Wanted()  # the form alone would be a third of the cost of the list
    refuse_unknown(request, ProviderFilters.base_fields)
    form = ProviderFilters(request.query_params)
    _refuse_invalid(form)
    given = form.cleaned_data
    return Wanted(
        country=_known(given["country"].upper(), _COUNTRIES),
        kind=given["kind"],
        currency=_known(given["currency"].upper(), _CURRENCIES),
    )


def choose(providers: Iterable[Provider], wanted: Wanted) -> list[Provider]:
    """The providers that fit."""
    return [provider for provider in providers if wanted.fits(provider)]


def _known(value: str, known: Iterable[str]) -> str:
    return value if not value or value in known else OTHER


def refuse_unknown(request: Request, known: Iterable[str]) -> None:
    """Raises ValidationError when the query string of a request names anything else, or something twice."""
    for name in set(request.query_params) - set(known):
        raise ValidationError(unknown_field(name))
    refuse_repeated(request)


def refuse_repeated(request: Request) -> None:
    """Raises ValidationError for a name that is given twice: two readers may disagree on which counts."""
    for name, values in request.query_params.lists():
        if len(values) > 1:
            raise ValidationError({name: [ErrorDetail(_("Given more than once."), code="repeated")]})


def _refuse_invalid(form: forms.BaseForm) -> None:
    if not form.is_valid():
        rows = form.errors.get_json_data()
        raise ValidationError(
            {field: [ErrorDetail(row["message"], code=row["code"]) for row in rows[field]] for field in rows}
        )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
