"""JSON Schema 2020-12 of every body, for the OpenAPI 3.1 description.

Request shapes come from the fields of `inputs` that validate them. Answer shapes are written here; the tests validate
every answer they get against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.validators import EmailValidator
from rest_framework import serializers

from django_feexpay.api.filters import COUNTRIES, CURRENCIES, KINDS
from django_feexpay.api.inputs import InitiateInput, Metadata, OtpInput, RetryInput, StrictInteger
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.lifecycle import Detail, PublicStatus
from django_feexpay.problems import PROBLEMS

Shape = Mapping[str, Any]

TEXT: Shape = {"type": "string"}
AMOUNT: Shape = {"type": "integer", "minimum": 0}
FLAG: Shape = {"type": "boolean"}
INSTANT: Shape = {"type": "string", "format": "date-time"}
UUID: Shape = {"type": "string", "format": "uuid"}
ADDRESS: Shape = {"type": "string", "format": "uri"}


def nullable(shape: Shape) -> Shape:
    """The shape, or null."""
    if "$ref" in shape:
        return {"anyOf": [shape, {"type": "null"}]}
    return {**shape, "type": [shape["type"], "null"]}


def one_of(words: Any, description: str = "") -> Shape:
    """A string out of a closed list."""
    shape = {"type": "string", "enum": [str(word) for word in words]}
    return {**shape, "description": description} if description else shape


def described(shape: Shape, description: str) -> Shape:
    """The shape with a description."""
    return {**shape, "description": description}


def record(about: str, /, *, optional: tuple[str, ...] = (), **members: Shape) -> Shape:
    """An object. All members are required, except those in `optional`."""
    required = [name for name in members if name not in optional]
    return {"type": "object", "description": about, "properties": members, "required": required}


def reference(name: str) -> Shape:
    """A reference to one of SHAPES."""
    return {"$ref": f"#/components/schemas/{name}"}


def request(about: str, inputs: type[serializers.Serializer[Any]], /, **sentences: str) -> Shape:
    """The body that a serializer of `inputs` accepts. `sentences` describe its fields."""
    fields = inputs().fields
    members = {name: described(_field(name, field), sentences[name]) for name, field in fields.items()}
    optional = tuple(name for name, field in fields.items() if not field.required)
    return {**record(about, optional=optional, **members), "additionalProperties": False}


def _field(name: str, field: Any) -> Shape:
    if name in ("provider", "currency"):  # `payments` checks these closed lists, not the serializer
        return PROVIDER_CODE if name == "provider" else CURRENCY
    if isinstance(field, StrictInteger):
        return {"type": "integer", "minimum": field.min_value, "maximum": field.max_value}
    if isinstance(field, Metadata):
        return {"type": "object"}
    shape: dict[str, Any] = {"type": "string", "maxLength": field.max_length}
    if any(isinstance(validator, EmailValidator) for validator in field.validators):
        return {**shape, "anyOf": [{"format": "email"}, {"maxLength": 0}]}
    return shape if field.allow_blank else {**shape, "minLength": 1}


PROVIDER_CODE, PROBLEM_CODE = reference("ProviderCode"), reference("ProblemCode")
COUNTRY, CURRENCY = reference("Country"), reference("Currency")
KIND, FLOW = reference("Kind"), reference("Flow")
PAYMENT_STATUS, PAYMENT_DETAIL = reference("PaymentStatus"), reference("PaymentDetail")

#: Every named shape, as listed under `components/schemas`.
SHAPES: Mapping[str, Shape] = {
    "Country": one_of(COUNTRIES, "By ISO 3166-1."),
    "Currency": one_of(CURRENCIES, "By ISO 4217."),
    "Flow": one_of(("push", "otp", "redirect", "hosted"), "What the payer has to do."),
    "HealthStatus": one_of(("ok", "degraded", "down")),
    "Kind": one_of(KINDS),
    "PaymentDetail": one_of(Detail, "Why a payment has its status."),
    "PaymentStatus": one_of(
        PublicStatus, "`pending` until it is known whether the payment is paid; a `failed` one may still succeed."
    ),
    "ProblemCode": one_of(PROBLEMS),
    "ProviderCode": one_of(CATALOGUE, "See `providers/`."),
    "InitiateRequest": request(
        "A payment to start. `providers/` lists the limits of the amount and the rules for the phone.",
        InitiateInput,
        provider="A code from `providers/`.",
        amount='In the minor unit of `currency`; XOF and XAF have none. Written as an integer: not 5.0, not "5".',
        currency="Default: the provider's own. EUR and USD are converted and rounded up.",
        phone="The payer's number in any usual format. Required, except for cards, where it is ignored.",
        merchant_reference="Your own id of the order. Two payments of one order are never open at the same time.",
        description="A text for the payer.",
        metadata="At most 2 kB of JSON. FeexPay never gets it.",
        otp="The code that a provider needs before it starts (`flow: otp`).",
        return_url="The address to which the payment page sends the payer back. Its host must be allowed.",
        cancel_url="The address to which the payment page sends a payer who gave up. Its host must be allowed.",
        first_name="For cards; erased once sent.",
        last_name="For cards; erased once sent.",
        email="For cards; erased once sent.",
    ),
    "RetryRequest": request(
        "Changes for the new attempt; all are optional.",
        RetryInput,
        phone="Another number of the payer. Ignored for cards.",
        otp="A new code, if the provider needs one before it starts.",
    ),
    "OtpRequest": request(
        "The code that the payer received.", OtpInput, otp="3 to 16 letters and digits; spaces do not count."
    ),
    "Reason": record(
        "Why a payment failed: a code for programs, a sentence for the payer in their language.",
        code=TEXT,
        message=TEXT,
    ),
    "Payment": record(
        "A payment as its payer sees it. Only `status: successful` means that it is paid.",
        id=UUID,
        status=PAYMENT_STATUS,
        detail=PAYMENT_DETAIL,
        provider=PROVIDER_CODE,
        provider_name=TEXT,
        country=nullable(COUNTRY),
        amount=described(AMOUNT, "The price, in the minor unit of `currency`."),
        currency=CURRENCY,
        charged_amount=described(AMOUNT, "The amount FeexPay charges, in the minor unit of `charged_currency`."),
        charged_currency=CURRENCY,
        exchange_rate=described(nullable(TEXT), "A decimal number, if the price was converted."),
        fee=described(AMOUNT, "The provider's fee, in the charged currency."),
        phone=described(TEXT, "Masked: `+229 01 •• •• •• 50`; empty if the payer has none."),
        merchant_reference=TEXT,
        reference=described(nullable(TEXT), "FeexPay's id, once known."),
        redirect_url=described(nullable(ADDRESS), "The page where the payer pays, while `detail` is `redirect`."),
        otp_required=described(FLAG, "The payer received a code: send it to `POST {id}/otp/`."),
        reason={"anyOf": [reference("Reason"), {"type": "null"}]},
        can_retry=described(FLAG, "True if every attempt failed for certain. Offer a retry only then."),
        next_poll_seconds=described(nullable(AMOUNT), "Poll again after this time; null once the payment is settled."),
        attempt_count={"type": "integer", "minimum": 1},
        created_at=INSTANT,
        updated_at=INSTANT,
        expires_at=described(nullable(INSTANT), "When the payer's time to confirm ends."),
        settled_at=nullable(INSTANT),
        metadata={"type": "object"},
    ),
    "PhoneRule": record(
        "The phone numbers that a provider accepts.",
        required=FLAG,
        calling_code=nullable(TEXT),
        lengths={"type": "array", "items": AMOUNT},
        prefixes={"type": "array", "items": TEXT},
        example=nullable(TEXT),
    ),
    "Provider": record(
        "A provider: a way to pay.",
        code=PROVIDER_CODE,
        name=TEXT,
        kind=KIND,
        country=described(nullable(COUNTRY), "Null for cards, which every country sees."),
        country_name=nullable(TEXT),
        currency=CURRENCY,
        flow=FLOW,
        min_amount=AMOUNT,
        max_amount=AMOUNT,
        fee_percent=described(TEXT, "A decimal number."),
        phone=reference("PhoneRule"),
        enabled=FLAG,
        unavailable_reason=described(nullable(TEXT), "For the payer, if it is not enabled."),
        instructions=described(TEXT, "For the payer: what to do."),
        badge=record("A short text and a color, to show in place of a logo.", monogram=TEXT, color=TEXT),
    ),
    "Quote": record(
        "What the payer would be charged for a price, before the payment starts.",
        amount=AMOUNT,
        currency=CURRENCY,
        charged_amount=AMOUNT,
        charged_currency=CURRENCY,
        fee=AMOUNT,
        total=described(AMOUNT, "The whole amount charged to the payer's account."),
        exchange_rate=nullable(TEXT),
    ),
    "HistoryPage": record(
        "Payments, newest first. Follow `next` until it is null.",
        next=nullable(ADDRESS),
        previous=nullable(ADDRESS),
        results={"type": "array", "items": reference("Payment")},
    ),
    "Health": record(
        "The health of payments. Only monitors and staff see `components`, `dropped_webhooks` and `troubles`.",
        optional=("providers_in_trouble", "components", "dropped_webhooks", "troubles"),
        status=reference("HealthStatus"),
        components={"type": "object", "additionalProperties": {"type": ["string", "object"]}},
        dropped_webhooks={
            "type": "integer",
            "minimum": 0,
            "description": "Webhooks that were not kept in the last hour, because of their number.",
        },
        providers_in_trouble={
            "type": "array",
            "items": TEXT,
            "description": "Providers whose circuit breaker is open, or `gateway` for FeexPay. Absent if none is.",
        },
        troubles={"type": "array", "items": reference("Trouble")},
    ),
    "Trouble": record(
        "A health fact beyond its threshold.",
        fact=TEXT,
        subject=described(TEXT, "The provider or circuit; empty for the whole shop."),
        severity=one_of(("critical", "warning")),
        value=described(nullable({"type": "number"}), "Null: it never happened, for example no heartbeat."),
        threshold={"type": "number"},
        unit=one_of(("seconds", "count", "percent")),
        words=described(TEXT, "What it means."),
        advice=described(TEXT, "What to do."),
    ),
    "Liveness": record("This process answers.", status=one_of(("ok",))),
    "Readiness": record(
        "Whether this process can serve payers.",
        status=one_of(("ok", "down")),
        checks={"type": "object", "additionalProperties": TEXT},
    ),
    "FieldError": record("One wrong input.", field=TEXT, code=TEXT, message=TEXT),
    "Problem": record(
        "A problem by RFC 9457. Programs read `code`, people read `detail`.",
        optional=("payment_id",),
        type={"type": "string", "pattern": "^urn:feexpay:problem:[a-z_]+$"},
        title=TEXT,
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail=TEXT,
        code=PROBLEM_CODE,
        errors={"type": "array", "items": reference("FieldError")},
        request_id=described(TEXT, "Give it to the operators when you ask about this answer."),
        payment_id=described(UUID, "The payment this is about; with `duplicate_payment`, the earlier one."),
    ),
    "Received": record("The delivery is stored.", received={"const": True, "type": "boolean"}),
    "Delivery": {
        "type": "object",
        "description": "FeexPay's webhook. Its content decides nothing: it only makes the next poll due now.",
    },
}
