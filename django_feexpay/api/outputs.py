"""Bodies of answers as plain dicts: DRF's serializers take four times as long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django_feexpay.catalogue.money import show_rate
from django_feexpay.catalogue.phone import PhoneRule
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.lifecycle import PublicStatus, Status
from django_feexpay.models import Payment, Provider
from django_feexpay.payments.failure_reasons import failure_reason
from django_feexpay.payments.payer_options import can_retry, next_poll_seconds
from django_feexpay.payments.terms import Quote, unavailable

#: The fields of a payment, in their order.
PAYMENT_FIELDS = (
    *("id", "status", "detail", "provider", "provider_name", "country", "amount", "currency", "charged_amount"),
    *("charged_currency", "exchange_rate", "fee", "phone", "merchant_reference", "reference", "redirect_url"),
    *("otp_required", "reason", "can_retry", "next_poll_seconds", "attempt_count", "created_at", "updated_at"),
    *("expires_at", "settled_at", "metadata"),
)


def payment_body(payment: Payment) -> dict[str, Any]:
    """A payment as the API shows it, its number masked. `payment` comes from `Payment.objects.for_reading()`."""
    attempt, status = payment.attempt, payment.public_status
    waits_for_payer = payment.status == Status.PENDING  # under review the payer must neither pay nor send a code
    return {
        "id": str(payment.pk),
        "status": status.value,
        "detail": payment.detail.value,
        "provider": payment.provider_id,
        "provider_name": payment.provider_name,  # type: ignore[attr-defined]  # by for_reading()
        "country": CATALOGUE[payment.provider_id].country,
        "amount": payment.amount,
        "currency": payment.currency,
        "charged_amount": payment.charged_amount,
        "charged_currency": payment.charged_currency,
        "exchange_rate": None if payment.exchange_rate is None else show_rate(payment.exchange_rate),
        "fee": payment.fee,
        "phone": attempt.masked_msisdn,
        "merchant_reference": payment.merchant_reference,
        "reference": attempt.gateway_reference,
        "redirect_url": attempt.redirect_url or None if waits_for_payer else None,
        "otp_required": attempt.otp_required and waits_for_payer,
        "reason": failure_reason(attempt) if status is PublicStatus.FAILED else None,
        "can_retry": can_retry(payment),
        "next_poll_seconds": next_poll_seconds(payment),
        "attempt_count": attempt.ordinal,
        "created_at": _instant(payment.created_at),
        "updated_at": _instant(payment.updated_at),
        "expires_at": _instant(attempt.expires_at),
        "settled_at": _instant(payment.settled_at),
        "metadata": payment.metadata,
    }


def quote_body(quote: Quote) -> dict[str, Any]:
    return {
        "amount": quote.amount,
        "currency": quote.currency,
        "charged_amount": quote.charged_amount,
        "charged_currency": quote.charged_currency,
        "fee": quote.fee,
        "total": quote.total,
        "exchange_rate": None if quote.exchange_rate is None else show_rate(quote.exchange_rate),
    }


def as_first_written(body: Mapping[str, Any]) -> dict[str, Any]:
    """A stored payment body with its keys in their first order: PostgreSQL sorts the keys of JSON."""
    return {name: body[name] for name in PAYMENT_FIELDS if name in body}


def provider_body(provider: Provider, language: str, *, trouble: str = "") -> dict[str, Any]:
    """A provider as the API shows it, in the payer's language. `trouble`: why it fails at the moment, or ""."""
    spec = provider.spec
    french = language.startswith("fr")
    return {
        "code": provider.pk,
        "name": provider.name_in(language),
        "kind": spec.kind,
        "country": spec.country,
        "country_name": spec.country_in(language) or None,
        "currency": spec.currency,
        "flow": spec.flow,
        "min_amount": provider.min_amount,
        "max_amount": provider.max_amount,
        "fee_percent": str(provider.fee_percent),
        "phone": _phone_rule(spec.phone),
        "enabled": provider.is_available and not trouble,
        "unavailable_reason": unavailable(provider, language) or trouble or None,
        "instructions": spec.instructions_fr if french else spec.instructions_en,
        "badge": {"monogram": spec.monogram, "color": spec.color},
    }


def _phone_rule(rule: PhoneRule | None) -> dict[str, Any]:
    if rule is None:
        return {"required": False, "calling_code": None, "lengths": [], "prefixes": [], "example": None}
    return {
        "required": True,
        "calling_code": rule.calling_code,
        "lengths": list(rule.lengths),
        "prefixes": list(rule.prefixes),
        "example": rule.example,
    }


def _instant(at: datetime | None) -> str | None:
    """ISO 8601 in UTC with Z, to the millisecond."""
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
