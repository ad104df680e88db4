"""Filters of the lists. A misspelt filter or an impossible value is refused, not ignored."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
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
from django_feexpay.catalogue import money
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.lifecycle import PublicStatus, statuses_of
from django_feexpay.models import Payment, Provider
from django_feexpay.models.payment import PaymentQuerySet

#: The parameters of `history/` that are no filters.
PAGING = frozenset({"cursor", "page_size"})
COUNTRIES = sorted({spec.country for spec in CATALOGUE.values() if spec.country})
CURRENCIES = sorted({spec.currency for spec in CATALOGUE.values()}.union(money.CONVERTIBLE))
KINDS = sorted({kind for spec in CATALOGUE.values() for kind in (spec.kind, *spec.also_kinds)})
#: Stands for every country or currency that no provider has, so that invented values cannot fill the cache.
OTHER = "other"
#: Near the ends of `datetime`, a conversion to another time zone overflows.
_USABLE_INSTANTS = (
    MinValueValidator(datetime(1970, 1, 1, tzinfo=UTC)),
    MaxValueValidator(datetime(2200, 1, 1, tzinfo=UTC)),
)


class AmountFilter(django_filters.Filter):
    """An integer that fits the column."""

    field_class = forms.IntegerField

    def __init__(self, **options: Any) -> None:
        super().__init__(field_name="amount", min_value=0, max_value=2**63 - 1, **options)


class InstantFilter(django_filters.IsoDateTimeFilter):
    """An instant in ISO 8601; without an offset, in the host's time zone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(field_name="created_at", validators=_USABLE_INSTANTS, **options)


class PaymentFilters(django_filters.FilterSet):
    """The filters of `GET history/`."""

    status = django_filters.ChoiceFilter(
        choices=[(status.value, status.value) for status in PublicStatus], method="by_status"
    )
    provider = django_filters.ChoiceFilter(choices=[(code, code) for code in CATALOGUE], field_name="provider_id")
    currency = django_filters.ChoiceFilter(choices=[(code, code) for code in CURRENCIES])
    country = django_filters.ChoiceFilter(choices=[(code, code) for code in COUNTRIES], method="by_country")
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
        """The start of a merchant reference, or a whole FeexPay reference or payment id."""
        wanted = Q(merchant_reference__istartswith=value) | Q(attempts__gateway_reference=value)
        with suppress(ValueError):
            wanted |= Q(pk=UUID(value))
        return payments.filter(pk__in=payments.filter(wanted).values("pk"))


def filter_payments(
    payments: PaymentQuerySet, request: Request, *, other_parameters: frozenset[str] = PAGING
) -> PaymentQuerySet:
    """Filter payments by the query string. `other_parameters` are no filters. Raises: ValidationError."""
    refuse_unknown(request, other_parameters.union(PaymentFilters.base_filters))
    if other_parameters.issuperset(request.query_params):
        return payments  # validating an empty form would take a seventh of the time of the request
    filters = PaymentFilters(request.query_params, queryset=payments, request=request)
    _refuse_invalid(filters.form)
    return cast(PaymentQuerySet, filters.qs)


class ProviderFilters(forms.Form):
    """The filters of `GET providers/`. Any country is accepted: cards work in all of them."""

    country = forms.RegexField(r"^[A-Za-z]{2}\Z", required=False)
    kind = forms.ChoiceField(choices=[(kind, kind) for kind in KINDS], required=False)
    currency = forms.RegexField(r"^[A-Za-z]{3}\Z", required=False)


@dataclass(frozen=True, slots=True)
class ProviderQuery:
    """The filters of a request for providers: "" matches every provider, OTHER matches none."""

    country: str = ""
    kind: str = ""
    currency: str = ""

    def matches(self, provider: Provider) -> bool:
        """Whether a provider passes the filters. A provider without a country matches every country."""
        spec = provider.spec
        return (
            (not self.country or spec.country in (None, self.country))
            and (not self.kind or self.kind in (spec.kind, *spec.also_kinds))
            and (not self.currency or spec.currency == self.currency)
        )


def provider_query(request: Request) -> ProviderQuery:
    """The filters in the query string of a request. Raises: ValidationError."""
    if not request.query_params:
        return ProviderQuery()  # validating an empty form would take a third of the time of the request
    refuse_unknown(request, ProviderFilters.base_fields)
    form = ProviderFilters(request.query_params)
    _refuse_invalid(form)
    kind, country, currency = (form.cleaned_data[name] for name in ("kind", "country", "currency"))
    return ProviderQuery(
        country=country.upper() if country.upper() in ("", *COUNTRIES) else OTHER,
        kind=kind,
        currency=currency.upper() if currency.upper() in ("", *CURRENCIES) else OTHER,
    )


def refuse_unknown(request: Request, known: Iterable[str]) -> None:
    """Refuse a query string with an unknown name, or with a name twice. Raises: ValidationError."""
    for name in set(request.query_params) - set(known):
        raise ValidationError(unknown_field(name))
    refuse_repeated(request)


def refuse_repeated(request: Request) -> None:
    """Refuse a name given twice, because programs disagree on which of its values counts. Raises: ValidationError."""
    for name, values in request.query_params.lists():
        if len(values) > 1:
            raise ValidationError({name: [ErrorDetail(_("Given more than once."), code="repeated")]})


def _refuse_invalid(form: forms.BaseForm) -> None:
    if not form.is_valid():
        errors = form.errors.get_json_data().items()
        raise ValidationError(
            {name: [ErrorDetail(row["message"], code=row["code"]) for row in rows] for name, rows in errors}
        )
