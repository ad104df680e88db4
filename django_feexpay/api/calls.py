"""Parameters and answers of each call, as plain data from which `openapi` makes the API description.

drf-spectacular's `extend_schema` is not used: it has no response links and no named JSON Schema components, so it would
save fewer than fifty lines. Its result also depends on the host's SPECTACULAR_SETTINGS, so our tests would not prove
the description that another host gets.
"""

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

#: Request headers by name.
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
        "description": "Your own id for this request. Save it before you send: the same key with the same body gets"
        " the first answer again.",
        "example": "5b0c2f0a-7d0e-4f43-9d0c-2f7c1f6e8a11",
    },
    "Last-Event-ID": {"type": "string", "description": "The `id` of the last event you have, or the ETag of `status`."},
    "If-None-Match": {"type": "string", "description": "The ETag you have: the answer is 304 if nothing changed."},
}
#: Descriptions of response headers by name.
ANSWER_HEADERS: Mapping[str, str] = {
    "Cache-Control": "How long this answer may be cached.",
    "Content-Disposition": "The name of the file.",
    "ETag": "Send it back as If-None-Match.",
    "Idempotency-Replayed": "`true`: this repeats the first answer to this Idempotency-Key.",
    "RateLimit": "The requests you may still make in this scope (`r`), and the seconds until there are more (`t`).",
    "RateLimit-Policy": "The limit of this scope: `q` requests in `w` seconds.",
    "Retry-After": "Seconds to wait before the next request.",
    "WWW-Authenticate": "The ways to sign in: `Token`, `Bearer`, `Basic …`, `Session`; for a webhook `Webhook`.",
    "X-Request-ID": "The id of this request: the client's own, if it sent one of 1 to 64 plain characters.",
}

#: Problem codes of every call, of calls that need a user, and of calls with a body.
PROBLEMS_ALWAYS = ("validation_error", "malformed_request", "not_acceptable", "server_error", "gateway_unavailable")
PROBLEMS_SIGNED_IN = (*PROBLEMS_ALWAYS, "not_authenticated", "permission_denied", "throttled")
PROBLEMS_WITH_BODY = (*PROBLEMS_ALWAYS, "payload_too_large", "unsupported_media_type")
_STARTING_PROBLEMS = (
    *(*PROBLEMS_SIGNED_IN, "payload_too_large", "unsupported_media_type"),
    *("idempotency_conflict", "idempotency_mismatch", "duplicate_payment", "provider_unavailable", "not_configured"),
    *("too_many_prompts", "rate_unavailable"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. `headers` are always sent, `optional_headers` sometimes."""

    description: str
    shape: Shape | None = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = ("X-Request-ID",)
    optional_headers: tuple[str, ...] = ()
    media_types: tuple[str, ...] = (JSON,)
    #: Ids of calls that take the payment id of this answer.
    linked_calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one address, with every parameter it takes and every problem code it answers with."""

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
    body_examples: Mapping[str, Any] = field(default_factory=dict)
    #: Whether requests are counted in a scope of RATE_LIMITS, and answers carry its RateLimit headers.
    counted: bool = True


def _or_empty(shape: Shape) -> Shape:
    """The shape or an empty text, because HTML forms send empty filters."""
    return {"anyOf": [shape, {"const": ""}]}


_PAYMENT = reference("Payment")
_READ = ("X-Request-ID", "ETag", "Cache-Control")
_STARTED = {
    201: Answer(
        "FeexPay answered: it sent the payer a request, or it refused.",
        _PAYMENT,
        {"waiting for the payer": examples.WAITING, "refused": examples.REFUSED},
        optional_headers=("Idempotency-Replayed",),
        linked_calls=("status", "otp", "retry"),
    ),
    202: Answer(
        "Not sent yet, or FeexPay's answer is not known. Poll the payment until it is settled, and start no other.",
        _PAYMENT,
        {"queued": examples.QUEUED, "checking": examples.CHECKING},
        optional_headers=("Idempotency-Replayed",),
        linked_calls=("status", "otp", "retry"),
    ),
}

INITIATE = Call(
    id="initiate",
    summary="Ask a payer for money",
    description="A problem means that no payment exists and the payer was not asked. If you lose the answer, send the"
    " same request again with the same Idempotency-Key.",
    answers=_STARTED,
    problems=_STARTING_PROBLEMS,
    headers=("Accept-Language", "Idempotency-Key"),
    body=reference("InitiateRequest"),
    body_examples=examples.INITIATE_BODIES,
)
STATUS = Call(
    id="status",
    summary="Read a payment",
    description="When a poll is due, this waits for FeexPay for two seconds at most.",
    answers={
        200: Answer(
            "The payment.", _PAYMENT, {"credited": examples.CREDITED, "waiting": examples.WAITING}, headers=_READ
        ),
        304: Answer("Nothing changed since the ETag you sent.", headers=("X-Request-ID", "ETag")),
    },
    problems=(*PROBLEMS_SIGNED_IN, "not_found"),
    headers=("Accept-Language", "If-None-Match"),
)
EVENTS = Call(
    id="events",
    summary="Follow a payment",
    description="Server-Sent Events under ASGI: the payment now, then each time it changes. The `data` of an event is"
    " the body of `status`, its `id` the ETag. A comment keeps the connection open. The stream ends soon after the"
    " payment is settled, or after five minutes with a `retry`. Send `Last-Event-ID` to get only what is new. After a"
    " 406, poll `status`.",
    answers={
        200: Answer(
            "The events.",
            {"type": "string", "description": "`text/event-stream` by the HTML standard."},
            {"a payment that is credited": examples.EVENTS},
            headers=("X-Request-ID", "Cache-Control"),
            media_types=("text/event-stream",),
        ),
        204: Answer("The payment is settled as in your Last-Event-ID: do not connect again."),
    },
    problems=(*PROBLEMS_SIGNED_IN, "not_found"),
    headers=("Accept-Language", "Last-Event-ID"),
)
RETRY = Call(
    id="retry",
    summary="Retry a failed payment",
    description="Asks FeexPay about every earlier attempt first, and starts a new one only if all of them failed.",
    answers=_STARTED,
    problems=(*_STARTING_PROBLEMS, "not_found", "payment_open", "not_retryable"),
    headers=("Accept-Language", "Idempotency-Key"),
    body=reference("RetryRequest"),
    body_required=False,
    body_examples={"the same number": {}, "another number": {"phone": "+229 01 62 00 00 00"}},
)
OTP = Call(
    id="otp",
    summary="Send the payer's code",
    description="For a payment with `otp_required`. Each code is sent to FeexPay once. The payment shows the result.",
    answers={
        200: Answer(
            "FeexPay has the code.",
            _PAYMENT,
            {"credited": examples.CREDITED, "checking": examples.CHECKING},
            optional_headers=("Idempotency-Replayed",),
        )
    },
    problems=(
        *(*PROBLEMS_SIGNED_IN, "payload_too_large", "unsupported_media_type", "not_found"),
        *("otp_not_expected", "otp_rejected", "idempotency_conflict", "idempotency_mismatch", "not_configured"),
        "rate_unavailable",
    ),
    headers=("Accept-Language", "Idempotency-Key"),
    body=reference("OtpRequest"),
    body_examples={"a code by SMS": {"otp": "123456"}},
)
QUOTE = Call(
    id="quote",
    summary="Quote a price",
    description="The total that the payer will be charged. The rate stays valid for ten minutes.",
    answers={200: Answer("The quote.", reference("Quote"), {"euros to francs": examples.QUOTE})},
    problems=(*PROBLEMS_SIGNED_IN, "provider_unavailable", "rate_unavailable"),
    query={
        "provider": PROVIDER_CODE,
        "amount": {**AMOUNT, "minimum": 1, "maximum": 2**63 - 1, "description": "In the minor unit of `currency`."},
        "currency": {**CURRENCY, "description": "Default: the provider's own."},
    },
    required=("provider", "amount"),
)
PROVIDERS = Call(
    id="providers",
    summary="List all providers",
    description="Unavailable ones too, with the reason.",
    answers={
        200: Answer(
            "In display order.",
            {"type": "array", "items": reference("Provider")},
            {"one of them": [examples.PROVIDER]},
            headers=_READ,
        ),
        304: Answer("Nothing changed since the ETag you sent.", headers=("X-Request-ID", "ETag")),
    },
    problems=PROBLEMS_SIGNED_IN,
    query={
        "country": {
            "type": "string",
            "pattern": "^([A-Za-z]{2})?$",
            "description": "ISO 3166-1. Providers without a country are listed for every country.",
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
    "created_after": {**_or_empty(INSTANT), "description": "Inclusive."},
    "created_before": {**_or_empty(INSTANT), "description": "Exclusive."},
    "amount_min": _or_empty({**AMOUNT, "maximum": 2**63 - 1}),
    "amount_max": _or_empty({**AMOUNT, "maximum": 2**63 - 1}),
    "search": {
        "type": "string",
        "maxLength": 128,
        "description": "The start of a merchant reference, or a whole FeexPay reference or payment id.",
    },
}
HISTORY = Call(
    id="history",
    summary="List your payments",
    answers={200: Answer("One page.", reference("HistoryPage"), {"the only page": examples.HISTORY})},
    problems=PROBLEMS_SIGNED_IN,
    query={
        **FILTERS,
        "cursor": {"type": "string", "description": "From `next` or `previous` of an earlier answer."},
        "page_size": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    },
)
EXPORT = Call(
    id="export",
    summary="Export your payments",
    description="Streams all payments that match the filters. Without `format` the Accept header decides.",
    answers={
        200: Answer(
            "The file, with masked phone numbers.",
            {"type": "string"},
            headers=("X-Request-ID", "Content-Disposition"),
            media_types=tuple(kind.media_type for kind in FORMATS.values()),
        )
    },
    problems=PROBLEMS_SIGNED_IN,
    query={**FILTERS, "format": one_of(FORMATS)},
)
HEALTH = Call(
    id="health",
    summary="Check the health of payments",
    description="The report is for monitors and staff: send FEEXPAY_MONITOR_TOKEN as a bearer token, or sign in."
    " Other callers read the status and which providers are in trouble.",
    tag="operations",
    answers={
        200: Answer(
            "Payments work. `degraded`: a component is late or silent.",
            reference("Health"),
            {"anonymous": {"status": "ok"}},
        ),
        503: Answer("Payments do not work.", reference("Health"), {"anonymous": {"status": "down"}}),
    },
    problems=(*PROBLEMS_ALWAYS, "not_authenticated", "throttled"),
)
_PROBE_PROBLEMS = ("validation_error", "malformed_request", "not_acceptable", "server_error")
LIVE = Call(
    id="live",
    summary="Check that this process answers",
    description="For the program that restarts it. Nothing is read, so an outage of the database is no reason.",
    tag="operations",
    answers={200: Answer("It answers.", reference("Liveness"), {"any": {"status": "ok"}})},
    problems=_PROBE_PROBLEMS,
    counted=False,
)
READY = Call(
    id="ready",
    summary="Check that this process can serve payers",
    description="For the proxy that sends payers to it. The database must answer and have all migrations.",
    tag="operations",
    answers={
        200: Answer("Send payers here.", reference("Readiness"), {"ready": examples.READY}),
        503: Answer("Send payers elsewhere.", reference("Readiness"), {"no database": examples.NOT_READY}),
    },
    problems=_PROBE_PROBLEMS,
    counted=False,
)
WEBHOOK = Call(
    id="webhook",
    summary="Receive a webhook of FeexPay",
    description="Stored first, then answered. The body decides nothing: it only makes the next poll due now.",
    tag="webhook",
    answers={
        200: Answer(
            "Stored, now or by an earlier delivery.", reference("Received"), {"stored": {"received": True}}, headers=()
        )
    },
    problems=(
        *("malformed_request", "not_authenticated", "payload_too_large", "unsupported_media_type", "server_error"),
        "gateway_unavailable",
    ),
    headers=(),
    body=reference("Delivery"),
    body_examples={"a success": examples.DELIVERY},
    counted=False,
)

_VIEWS = "django_feexpay.api.views"
#: The calls of each view, by its dotted path and the method.
CALLS: Mapping[str, Mapping[str, Call]] = {
    f"{_VIEWS}.InitiateView": {"post": INITIATE},
    f"{_VIEWS}.StatusView": {"get": STATUS},
    f"{_VIEWS}.EventsView": {"get": EVENTS},
    f"{_VIEWS}.RetryView": {"post": RETRY},
    f"{_VIEWS}.OtpView": {"post": OTP},
    f"{_VIEWS}.QuoteView": {"get": QUOTE},
    f"{_VIEWS}.ProvidersView": {"get": PROVIDERS},
    f"{_VIEWS}.ExportView": {"get": EXPORT},
    f"{_VIEWS}.HistoryView": {"get": HISTORY},
    f"{_VIEWS}.HealthView": {"get": HEALTH},
    f"{_VIEWS}.LiveView": {"get": LIVE},
    f"{_VIEWS}.ReadyView": {"get": READY},
    "django_feexpay.api.openapi.WebhookEndpoint": {"post": WEBHOOK},
}
