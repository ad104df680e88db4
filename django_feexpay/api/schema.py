"""The shapes that go over the wire, as JSON Schema 2020-12: what OpenAPI 3.1 is made of.

Answers are written by `outputs`, requests are read by `inputs`. Requests are described from the very fields that
judge them; answers are described here, and the tests hold every answer they get against these shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.validators import EmailValidator
from rest_framework import serializers

from django_feexpay.api.inputs import InitiateInput, Metadata, OtpInput, RetryInput, StrictInteger
from django_feexpay.catalogue import money
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
    described = {"description": description} if description else {}
    return {"type": "string", "enum": [str(word) for word in words], **described}


def said(shape: Shape, description: str) -> Shape:
    """The shape with a sentence about it."""
    return {**shape, "description": description}


def record(about: str, /, *, optional: tuple[str, ...] = (), **members: Shape) -> Shape:
    """An object whose members are all there, but for `optional`."""
    required = [name for name in members if name not in optional]
    return {"type": "object", "description": about, "properties": members, "required": required}


def reference(name: str) -> Shape:
    """One of SHAPES, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def request(about: str, inputs: type[serializers.Serializer[Any]], /, **sentences: str) -> Shape:
    """What a serializer of `inputs` takes, and nothing beside it."""
    fields = inputs().fields
    members = {name: said(_NAMED_FIELDS.get(name, _field(field)), sentences[name]) for name, field in fields.items()}
    required = [name for name, field in fields.items() if field.required]
    shape: dict[str, Any] = {"type": "object", "description": about, "properties": members}
    return {**shape, **({"required": required} if required else {}), "additionalProperties": False}


#: Fields that take a word out of a closed list, which is judged by `payments`.
_NAMED_FIELDS = {"provider": reference("ProviderCode"), "currency": reference("Currency")}


def _field(field: Any) -> Shape:
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

_WORDS: Mapping[str, Shape] = {
    "Country": one_of(sorted({spec.country for spec in CATALOGUE.values() if spec.country}), "By ISO 3166-1."),
    "Currency": one_of(sorted({spec.currency for spec in CATALOGUE.values()} | set(money.CONVERTIBLE)), "By ISO 4217."),
    "Flow": one_of(("push", "otp", "redirect", "hosted"), "What the payer has to do."),
    "HealthStatus": one_of(("ok", "degraded", "down")),
    "Kind": one_of(sorted({kind for spec in CATALOGUE.values() for kind in (spec.kind, *spec.also_kinds)})),
    "PaymentDetail": one_of(Detail, "Why a payment has its status, in a word."),
    "PaymentStatus": one_of(
        PublicStatus, "`pending` until it is surely paid or surely not; a `failed` one may still succeed."
    ),
    "ProblemCode": one_of(PROBLEMS),
    "ProviderCode": one_of(CATALOGUE, "See `providers/`."),
}

_INITIATE = request(
    "A wish to be paid. The limits of the amount and the rule for the phone are the provider's: see `providers/`.",
    InitiateInput,
    provider="A code of `providers/`.",
    amount='In the minor unit of `currency`; XOF and XAF have none. Written as an integer: not 5.0, not "5".',
    currency="The provider's own unless given. EUR and USD are converted, never below the price.",
    phone="The payer's number in any usual writing. Required but for cards, where it is ignored.",
    merchant_reference="Your own id of what is paid. Two payments for one are never open at a time.",
    description="What the payer may read about it.",
    metadata="At most 2 kB of JSON. Stays with us.",
    otp="The code a provider asks for before it starts (`flow: otp`).",
    return_url="Where a payer who was sent to a page comes back. Its host must be allowed.",
    cancel_url="Where a payer who gave up on a page comes back. Its host must be allowed.",
    first_name="For cards; erased once sent.",
    last_name="For cards; erased once sent.",
    email="For cards; erased once sent.",
)
_RETRY = request(
    "What is different this time; nothing need be.",
    RetryInput,
    phone="Another number of the payer's. Ignored for cards.",
    otp="A new code, where the provider asks for one before it starts.",
)
_OTP = request("The code that the payer was sent.", OtpInput, otp="3 to 16 letters and digits; spaces do not count.")

_REASON = record(
    "Why a payment failed: a word for programs, a sentence for the payer in their language.",
    code=TEXT,
    message=TEXT,
)
_PAYMENT = record(
    "A payment as its payer sees it. Only `status: successful` means that it is paid.",
    id=UUID,
    status=PAYMENT_STATUS,
    detail=PAYMENT_DETAIL,
    provider=PROVIDER_CODE,
    provider_name=TEXT,
    country=nullable(COUNTRY),
    amount=said(AMOUNT, "The price, in the minor unit of `currency`."),
    currency=CURRENCY,
    charged_amount=said(AMOUNT, "What FeexPay is asked for, in the minor unit of `charged_currency`."),
    charged_currency=CURRENCY,
    exchange_rate=said(nullable(TEXT), "A decimal number, when the price was converted."),
    fee=said(AMOUNT, "The provider's fee, in the charged currency."),
    phone=said(TEXT, "Masked: `+229 01 •• •• •• 50`; empty when the payer has none."),
    merchant_reference=TEXT,
    reference=said(nullable(TEXT), "FeexPay's id, once known."),
    redirect_url=said(nullable(ADDRESS), "Where the payer has to go, while `detail` is `redirect`."),
    otp_required=said(FLAG, "The payer was sent a code: `POST {id}/otp/`."),
    reason={"anyOf": [reference("Reason"), {"type": "null"}]},
    can_retry=said(FLAG, "Every attempt surely failed. Never offer a retry otherwise."),
    next_poll_seconds=said(nullable(AMOUNT), "Ask again after this long; null when it is settled."),
    attempt_count={"type": "integer", "minimum": 1},
    created_at=INSTANT,
    updated_at=INSTANT,
    expires_at=said(nullable(INSTANT), "When we stop expecting the payer."),
    settled_at=nullable(INSTANT),
    metadata={"type": "object"},
)
_PHONE_RULE = record(
    "Which numbers a provider takes.",
    required=FLAG,
    calling_code=nullable(TEXT),
    lengths={"type": "array", "items": AMOUNT},
    prefixes={"type": "array", "items": TEXT},
    example=nullable(TEXT),
)
_PROVIDER = record(
    "A way to pay.",
    code=PROVIDER_CODE,
    name=TEXT,
    kind=KIND,
    country=said(nullable(COUNTRY), "Null for cards, which every country sees."),
    country_name=nullable(TEXT),
    currency=CURRENCY,
    flow=FLOW,
    min_amount=AMOUNT,
    max_amount=AMOUNT,
    fee_percent=said(TEXT, "A decimal number."),
    phone=reference("PhoneRule"),
    enabled=FLAG,
    unavailable_reason=said(nullable(TEXT), "For the payer, when it is not enabled."),
    instructions=said(TEXT, "For the payer: what to dial or to expect."),
    badge=record("What to draw where there is no logo.", monogram=TEXT, color=TEXT),
)
_QUOTE = record(
    "What a price comes to, before anybody agrees.",
    amount=AMOUNT,
    currency=CURRENCY,
    charged_amount=AMOUNT,
    charged_currency=CURRENCY,
    fee=AMOUNT,
    total=said(AMOUNT, "What the payer's account is charged in all."),
    exchange_rate=nullable(TEXT),
)
_HISTORY_PAGE = record(
    "Payments, newest first. Follow `next` until it is null.",
    next=nullable(ADDRESS),
    previous=nullable(ADDRESS),
    results={"type": "array", "items": reference("Payment")},
)
_HEALTH = record(
    "Whether payments are looked after. Strangers see `status` alone.",
    optional=("components",),
    status=reference("HealthStatus"),
    components={"type": "object", "additionalProperties": {"type": ["string", "object"]}},
)
_FIELD_ERROR = record("One wrong input, by its name.", field=TEXT, code=TEXT, message=TEXT)
_PROBLEM = record(
    "What went wrong, by RFC 9457. Programs read `code`, people read `detail`.",
    optional=("payment_id",),
    type={"type": "string", "pattern": "^urn:feexpay:problem:[a-z_]+$"},
    title=TEXT,
    status={"type": "integer", "minimum": 400, "maximum": 599},
    detail=TEXT,
    code=PROBLEM_CODE,
    errors={"type": "array", "items": reference("FieldError")},
    request_id=said(TEXT, "Quote it when you ask us about this answer."),
    payment_id=said(UUID, "The payment it is about; with `duplicate_payment`, the one that stands in the way."),
)

#: Every shape that has a name, as it stands under `components/schemas`.
SHAPES: Mapping[str, Shape] = {
    **_WORDS,
    "FieldError": _FIELD_ERROR,
    "Health": _HEALTH,
    "HistoryPage": _HISTORY_PAGE,
    "InitiateRequest": _INITIATE,
    "OtpRequest": _OTP,
    "Payment": _PAYMENT,
    "PhoneRule": _PHONE_RULE,
    "Problem": _PROBLEM,
    "Provider": _PROVIDER,
    "Quote": _QUOTE,
    "Reason": _REASON,
    "Received": record("The delivery is stored, or was known.", received={"const": True, "type": "boolean"}),
    "RetryRequest": _RETRY,
    "Delivery": {
        "type": "object",
        "description": "Whatever FeexPay sends: nothing in it is believed, it only makes us ask.",
    },
}
