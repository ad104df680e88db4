"""What each call takes and every answer it gives, for the API's description. Plain data: `openapi` writes it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django_feexpay.api import examples
from django_feexpay.api.schema import (
    AMOUNT,
    COUNTRY,
    CURRENCY,
    INSTANT,
    KIND,
    PAYMENT_STATUS,
    PROVIDER_CODE,
    Shape,
    one_of,
    reference,
)
from django_feexpay.exports import FORMATS

JSON = "application/json"

#: Headers a client may send, by name.
REQUEST_HEADERS: Mapping[str, Shape] = {
    "Accept-Language": {
        "type": "string",
        "description": "Messages are in French or English.",
        "example": "fr",
    },
    "Idempotency-Key": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
        "description": "Your own name for this intent, saved before it is sent: sent again with the same body, it"
        " gets the first answer again.",
        "example": "5b0c2f0a-7d0e-4f43-9d0c-2f7c1f6e8a11",
    },
    "If-None-Match": {"type": "string", "description": "The ETag you have: nothing new is a 304."},
}
#: Headers of answers, by name.
ANSWER_HEADERS: Mapping[str, str] = {
    "Cache-Control": "How long an answer may be kept.",
    "Content-Disposition": "The name of the file.",
    "ETag": "Send it back as If-None-Match.",
    "Idempotency-Replayed": "`true`: this is the first answer to this Idempotency-Key, again.",
    "Retry-After": "Seconds to wait before asking again.",
    "WWW-Authenticate": "How to sign in.",
    "X-Request-ID": "The id of this request, the client's own if it sent a plain one.",
}

#: Codes that any call may give; that any call of somebody signed in may; that any call with a body may.
REFUSALS_ALWAYS = ("validation_error", "malformed_request", "not_acceptable", "server_error", "gateway_unavailable")
REFUSALS_SIGNED_IN = (*REFUSALS_ALWAYS, "not_authenticated", "permission_denied", "throttled")
REFUSALS_WITH_BODY = (*REFUSALS_ALWAYS, "payload_too_large", "unsupported_media_type")
_ONCE = (
    *(*REFUSALS_SIGNED_IN, "payload_too_large", "unsupported_media_type"),
    *("idempotency_conflict", "idempotency_mismatch", "duplicate_payment", "provider_unavailable", "not_configured"),
    "too_many_prompts",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One good answer. `headers` that are always there; `maybe` those that may be."""

    says: str
    shape: Shape | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = ("X-Request-ID",)
    maybe: tuple[str, ...] = ()
    media_types: tuple[str, ...] = (JSON,)
    #: Calls that take the `id` of this answer.
    leads_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one address. `problems` are the codes it may answer with; `query` and `body` all that it takes."""

    id: str
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[str, ...]
    description: str = ""
    tag: str = "payments"
    query: Mapping[str, Shape] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    headers: tuple[str, ...] = ("Accept-Language",)
    body: Shape | None = None
    body_required: bool = True
    sent: Mapping[str, Any] = field(default_factory=dict)


def _or_empty(shape: Shape) -> Shape:
    """As forms send it: an empty filter narrows nothing."""
    return {"anyOf": [shape, {"const": ""}]}


_PAYMENT = reference("Payment")
_READ = ("X-Request-ID", "ETag", "Cache-Control")
_STARTED = {
    201: Answer(
        "FeexPay answered: the payer is being asked, or it refused.",
        _PAYMENT,
        {"waiting for the payer": examples.WAITING, "refused": examples.REFUSED},
        maybe=("Idempotency-Replayed",),
        leads_to=("status", "otp", "retry"),
    ),
    202: Answer(
        "Not sent yet, or its answer is not known: read the payment until it is settled. Nobody may pay again.",
        _PAYMENT,
        {"queued": examples.QUEUED, "checking": examples.CHECKING},
        maybe=("Idempotency-Replayed",),
        leads_to=("status", "otp", "retry"),
    ),
}

INITIATE = Call(
    id="initiate",
    summary="Ask a payer for money",
    description="A problem means that no payment exists and nobody was asked. An answer that got lost is no problem:"
    " send the same again with the same Idempotency-Key.",
    answers=_STARTED,
    problems=(*_ONCE, "rate_unavailable"),
    headers=("Accept-Language", "Idempotency-Key"),
    body=reference("InitiateRequest"),
    sent=examples.WISHES,
)
STATUS = Call(
    id="status",
    summary="Where a payment stands",
    description="Asks FeexPay when it is time to, for two seconds at most.",
    answers={
        200: Answer(
            "The payment.", _PAYMENT, {"credited": examples.CREDITED, "waiting": examples.WAITING}, headers=_READ
        ),
        304: Answer("Nothing new since the ETag you sent.", headers=("X-Request-ID", "ETag")),
    },
    problems=(*REFUSALS_SIGNED_IN, "not_found"),
    headers=("Accept-Language", "If-None-Match"),
)
RETRY = Call(
    id="retry",
    summary="Try a failed payment again",
    description="Asks FeexPay about every earlier attempt first; starts a new one only if all surely failed.",
    answers=_STARTED,
    problems=(*_ONCE, "not_found", "payment_open", "not_retryable"),
    headers=("Accept-Language", "Idempotency-Key"),
    body=reference("RetryRequest"),
    body_required=False,
    sent={"the same number": {}, "another number": {"phone": "+229 01 62 00 00 00"}},
)
OTP = Call(
    id="otp",
    summary="Hand in the payer's code",
    description="For a payment that reads `otp_required`. Sent on once; whether it was paid, the payment tells.",
    answers={
        200: Answer(
            "FeexPay has the code.",
            _PAYMENT,
            {"credited": examples.CREDITED, "checking": examples.CHECKING},
            maybe=("Idempotency-Replayed",),
        )
    },
    problems=(
        *(*REFUSALS_SIGNED_IN, "payload_too_large", "unsupported_media_type", "not_found"),
        *("otp_not_expected", "otp_rejected", "idempotency_conflict", "idempotency_mismatch", "not_configured"),
    ),
    headers=("Accept-Language", "Idempotency-Key"),
    body=reference("OtpRequest"),
    sent={"a code by SMS": {"otp": "123456"}},
)
QUOTE = Call(
    id="quote",
    summary="What a price comes to",
    description="The total the payer will be charged, before they agree. A rate shown is kept for a while.",
    answers={200: Answer("The sum.", reference("Quote"), {"euros to francs": examples.QUOTE})},
    problems=(*REFUSALS_SIGNED_IN, "provider_unavailable", "rate_unavailable"),
    query={
        "provider": PROVIDER_CODE,
        "amount": {**AMOUNT, "minimum": 1, "maximum": 2**63 - 1, "description": "In the minor unit of `currency`."},
        "currency": {**CURRENCY, "description": "The provider's own unless given."},
    },
    required=("provider", "amount"),
)
PROVIDERS = Call(
    id="providers",
    summary="Every way to pay",
    description="Also those that are not available, with the reason.",
    answers={
        200: Answer(
            "In the order to show them.",
            {"type": "array", "items": reference("Provider")},
            {"one of them": [examples.PROVIDER]},
            headers=_READ,
        ),
        304: Answer("Nothing new since the ETag you sent.", headers=("X-Request-ID", "ETag")),
    },
    problems=REFUSALS_SIGNED_IN,
    query={
        "country": {
            "type": "string",
            "pattern": "^([A-Za-z]{2})?$",
            "description": "ISO 3166-1. What has no country is there for each.",
        },
        "kind": _or_empty(KIND),
        "currency": {"type": "string", "pattern": "^([A-Za-z]{3})?$", "description": "ISO 4217."},
    },
    headers=("Accept-Language", "If-None-Match"),
)

FILTERS: Mapping[str, Shape] = {
    "status": _or_empty(PAYMENT_STATUS),
    "provider": _or_empty(PROVIDER_CODE),
    "currency": _or_empty(CURRENCY),
    "country": _or_empty(COUNTRY),
    "merchant_reference": {"type": "string", "maxLength": 64},
    "idempotency_key": {"type": "string", "maxLength": 255},
    "created_after": {**_or_empty(INSTANT), "description": "This instant included."},
    "created_before": {**_or_empty(INSTANT), "description": "This instant not included."},
    "amount_min": _or_empty({**AMOUNT, "maximum": 2**63 - 1}),
    "amount_max": _or_empty({**AMOUNT, "maximum": 2**63 - 1}),
    "search": {
        "type": "string",
        "maxLength": 128,
        "description": "The start of a merchant reference, a FeexPay reference, or a payment's id.",
    },
}
HISTORY = Call(
    id="history",
    summary="One's own payments",
    answers={200: Answer("A page.", reference("HistoryPage"), {"the only page": examples.HISTORY})},
    problems=REFUSALS_SIGNED_IN,
    query={
        **FILTERS,
        "cursor": {"type": "string", "description": "Out of `next` or `previous`; not to be made up."},
        "page_size": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    },
)
EXPORT = Call(
    id="export",
    summary="One's own payments as a file",
    description="All that fit, as they are read. Without `format` the Accept header decides.",
    answers={
        200: Answer(
            "The file, numbers masked.",
            {"type": "string"},
            headers=("X-Request-ID", "Content-Disposition"),
            media_types=tuple(kind.media_type for kind in FORMATS.values()),
        )
    },
    problems=REFUSALS_SIGNED_IN,
    query={**FILTERS, "format": one_of(FORMATS)},
)
HEALTH = Call(
    id="health",
    summary="Whether payments are looked after",
    description="For monitors. Signed in, with what is wrong.",
    tag="operations",
    answers={
        200: Answer("Payers are served.", reference("Health"), {"to a stranger": {"status": "ok"}}),
        503: Answer("They are not.", reference("Health"), {"to a stranger": {"status": "down"}}),
    },
    problems=(*REFUSALS_ALWAYS, "not_authenticated", "throttled"),
)
WEBHOOK = Call(
    id="webhook",
    summary="FeexPay's door",
    description="Nothing that comes in here is believed: it makes us ask. Stored first, then answered.",
    tag="webhook",
    answers={200: Answer("Stored, or known already.", reference("Received"), {"": {"received": True}}, headers=())},
    problems=(
        *("malformed_request", "not_authenticated", "payload_too_large", "unsupported_media_type", "server_error"),
        "gateway_unavailable",
    ),
    headers=(),
    body=reference("Delivery"),
    sent={"a success": examples.DELIVERY},
)

#: The calls of each view, by the view's name and the method.
CALLS: Mapping[str, Mapping[str, Call]] = {
    "InitiateView": {"post": INITIATE},
    "StatusView": {"get": STATUS},
    "RetryView": {"post": RETRY},
    "OtpView": {"post": OTP},
    "QuoteView": {"get": QUOTE},
    "ProvidersView": {"get": PROVIDERS},
    "ExportView": {"get": EXPORT},
    "HistoryView": {"get": HISTORY},
    "HealthView": {"get": HEALTH},
}
