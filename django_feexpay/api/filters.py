"""What history can be narrowed by. A filter that is misspelt or makes no sense is refused, not ignored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from django_feexpay.api.errors import unknown_field
from django_feexpay.gateway.catalogue import CATALOGUE
from django_feexpay.models import Payment
from django_feexpay.payments.lifecycle import PublicStatus, statuses_of

_BESIDE = {"cursor", "page_size", "format"}
_COUNTRIES = sorted({spec.country for spec in CATALOGUE.values() if spec.country})
_CURRENCIES = sorted({spec.currency for spec in CATALOGUE.values()} | {"EUR", "USD"})


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
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")
    amount_min = django_filters.NumberFilter(field_name="amount", lookup_expr="gte")
    amount_max = django_filters.NumberFilter(field_name="amount", lookup_expr="lte")
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


def narrow(payments: QuerySet[Payment], request: Request) -> QuerySet[Payment]:
    """Payments by the query string of a request. Raises ValidationError."""
    known = set(PaymentFilters.base_filters) | _BESIDE
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ValidationError(unknown_field(unknown[0]))
    filters = PaymentFilters(request.query_params, queryset=payments, request=request)
    if not filters.is_valid():
        raise ValidationError(filters.errors.as_data() and dict(_errors(filters)))
    narrowed: QuerySet[Payment] = filters.qs
    return narrowed


def _errors(filters: Any) -> list[tuple[str, list[str]]]:
    return [(field, [str(message) for message in messages]) for field, messages in filters.errors.items()]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
