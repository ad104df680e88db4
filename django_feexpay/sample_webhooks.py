"""Sample webhooks about an existing payment, genuine and forged, for `feexpay_trigger` and for tests.

They go to the project's own webhook address and move no money: the project trusts no webhook and asks FeexPay. The
sandbox makes the bodies; it shares no code with the parser of webhooks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.test import Client

from django_feexpay import conf
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.conf import feexpay
from django_feexpay.gateway.signatures import HmacScheme, current, keys_of
from django_feexpay.gateway.transport import HttpTransport, Timeouts, WireRequest
from django_feexpay.models import Attempt
from django_feexpay.monitoring.webhook_route import own_host, webhook_path
from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.networks import BY_SUFFIX, CARDS
from django_feexpay.sandbox.store import Export
from django_feexpay.sandbox.store import Payment as SandboxPayment
from django_feexpay.strict_json import MAX_BYTES

_JSON = "application/json"
_ANSWER_SECONDS = 10.0
_UNKNOWN_REFERENCE = "00000000-0000-4000-8000-000000000000"

Body = dict[str, Any]


class CannotSendError(Exception):
    """There is nothing to send, or no address to send it to; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request to the webhook address. `expected`: the HTTP codes of a correct answer."""

    raw: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    token: str = field(default="", repr=False)
    expected: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of webhook traffic. `make` returns the bodies in the order they are sent."""

    text: str
    make: Callable[[Attempt], list[Body | bytes]]
    expected: tuple[int, ...] = (200,)
    signed: bool = True


def deliveries(attempt: Attempt, event: str) -> list[Delivery]:
    """The requests of `event` about `attempt`, signed as the settings require.

    Raises: CannotSendError for an unknown event, an attempt without a reference, or a mode without a secret.
    """
    known = EVENTS.get(event)
    if known is None:
        raise CannotSendError(f"There is no event {event!r}; there are: {', '.join(EVENTS)}.")
    if not attempt.gateway_reference:
        raise CannotSendError("This payment has no reference yet: FeexPay has not accepted it.")
    made = [_delivery(body, known) for body in known.make(attempt)]
    proof_is_required = any(mode != "status" for mode in feexpay.webhook_modes)
    return [replace(one, expected=(401,)) for one in made] if not known.signed and proof_is_required else made


def post(delivery: Delivery, url: str = "") -> int:
    """Send over HTTP to `url`; without `url`, in this process through the project's middleware. Return the HTTP code.

    Raises: CannotSendError when the project includes no webhook URL; a gateway error when `url` does not answer.
    """
    return _post_over_http(delivery, url) if url else _post_in_process(delivery)


def _post_in_process(delivery: Delivery) -> int:
    path = webhook_path(delivery.token)
    if not path:
        raise CannotSendError('The project has no webhook URL: add path("…/", include("django_feexpay.urls")).')
    client = Client(raise_request_exception=False, SERVER_NAME=own_host())
    answer = client.post(path, delivery.raw, content_type=_JSON, secure=True, headers=dict(delivery.headers))
    return int(answer.status_code)


def _post_over_http(delivery: Delivery, url: str) -> int:
    transport = HttpTransport()
    timeouts = Timeouts(read=_ANSWER_SECONDS, total=_ANSWER_SECONDS)
    headers = {"Content-Type": _JSON, **delivery.headers}
    try:
        return transport.exchange(
            WireRequest(method="POST", url=url, timeouts=timeouts, headers=headers, body=delivery.raw)
        ).status
    finally:
        transport.close()


# --- bodies -------------------------------------------------------------------------------------------


def _webhook(attempt: Attempt, status: str, **changes: Any) -> Body:
    payment = _sandbox_payment(attempt, status)
    return bodies.webhook(payment, status, time.time()) | changes


def _sandbox_payment(attempt: Attempt, status: str) -> SandboxPayment:
    """The attempt as a payment of the sandbox, with a made-up number instead of the payer's."""
    network = BY_SUFFIX.get(CATALOGUE[attempt.payment.provider_id].suffix, CARDS[0])
    return SandboxPayment(
        reference=attempt.gateway_reference or "",
        suffix=network.suffix,
        msisdn=number_of(attempt),
        amount=attempt.amount,
        paid_amount=attempt.amount,
        status=status,
        reason="APPROVAL_REJECTED" if status == "FAILED" else None,
        prompts=1,
        odd_status_body=False,
        echo=str(attempt.pk),
        details={"description": "", "first_name": "", "last_name": "", "email": ""},
        created_at=time.time(),
        number=1,
    )


def number_of(attempt: Attempt) -> str:
    """The made-up number in a body: the example of the provider's country."""
    rule = CATALOGUE[attempt.payment.provider_id].phone
    return "" if rule is None else rule.calling_code + rule.example


def _unknown(attempt: Attempt) -> list[Body | bytes]:
    return [_webhook(attempt, "SUCCESSFUL", reference=_UNKNOWN_REFERENCE, order_id=_UNKNOWN_REFERENCE)]


def _history(attempt: Attempt) -> list[Body | bytes]:
    row = bodies.history_row(_sandbox_payment(attempt, "SUCCESSFUL"))
    export = Export(str(uuid.uuid4()), time.time(), time.time(), False, "[]", 1)
    url = f"https://api-v2.feexpay.me/exports/{export.request_id}.json"
    return [bodies.history_webhook(export, url, [row], export.ready_at + 86_400)]


def _raw(body: Body) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


#: Every event by name.
EVENTS: Mapping[str, Event] = {
    "successful": Event("the payer paid", lambda one: [_webhook(one, "SUCCESSFUL")]),
    "failed": Event("the payer declined", lambda one: [_webhook(one, "FAILED")]),
    "pending": Event("the payment is still waiting for the payer", lambda one: [_webhook(one, "PENDING")]),
    "duplicate": Event("the same success three times", lambda one: [_webhook(one, "SUCCESSFUL")] * 3),
    "out_of_order": Event(
        "a success, then the older statuses pending and failed",
        lambda one: [_webhook(one, status) for status in ("SUCCESSFUL", "PENDING", "FAILED")],
    ),
    "v1": Event("a success in the v1 format", lambda one: [bodies.in_v1_format(_webhook(one, "SUCCESSFUL"))]),
    "forged": Event(
        "a success with ten times the amount: it must credit nothing",
        lambda one: [_webhook(one, "SUCCESSFUL", amount=one.amount * 10)],
    ),
    "unsigned": Event(
        "a success without a proof of its sender: refused if your settings require one",
        lambda one: [_webhook(one, "SUCCESSFUL")],
        signed=False,
    ),
    "unknown_reference": Event("a success with an unknown reference", _unknown),
    "payment_history": Event("a finished export of the history, without a reference", _history),
    "broken": Event(
        "half a body, as after a cut connection",
        lambda one: [_raw(_webhook(one, "SUCCESSFUL"))[:150]],
        expected=(400,),
    ),
    "too_large": Event(
        "a body over the size limit",
        lambda one: [_raw(_webhook(one, "SUCCESSFUL", description="x" * MAX_BYTES))],
        expected=(413,),
    ),
}


# --- credentials --------------------------------------------------------------------------------------


def _delivery(body: Body | bytes, event: Event) -> Delivery:
    raw = body if isinstance(body, bytes) else _raw(body)
    if not event.signed:
        return Delivery(raw=raw, headers={}, expected=event.expected)
    headers: dict[str, str] = {}
    for mode, sign in _SIGNERS.items():
        if mode in feexpay.webhook_modes:
            headers |= dict(sign(_key(mode), raw))
    token = _key("url_token").decode() if "url_token" in feexpay.webhook_modes else ""
    return Delivery(raw=raw, headers=headers, token=token, expected=event.expected)


def _key(mode: str) -> bytes:
    """The newest secret of a mode."""
    for key in keys_of(mode, feexpay.webhook_modes, current(feexpay.webhook_secrets, time.time())):
        return key
    raise CannotSendError(f'FEEXPAY["WEBHOOK_MODES"] lists {mode} and FEEXPAY["WEBHOOK_SECRETS"] has none for it.')


def _header(key: bytes, raw: bytes) -> Iterator[tuple[str, str]]:
    yield "Authorization", key.decode()


def _hmac(key: bytes, raw: bytes) -> Iterator[tuple[str, str]]:
    scheme: HmacScheme = feexpay.webhook_hmac
    if scheme.timestamp_header:
        stamp = _stamp()
        yield scheme.timestamp_header, stamp
        raw = f"{stamp}.".encode() + raw
    digest = hmac.new(key, raw, hashlib.sha256).digest()
    yield scheme.header, scheme.prefix + (_base64(digest) if scheme.encoding == "base64" else digest.hex())


def _standard(key: bytes, raw: bytes) -> Iterator[tuple[str, str]]:
    identifier, stamp = f"msg_{uuid.uuid4().hex}", _stamp()
    signed = f"{identifier}.{stamp}.".encode() + raw
    yield "webhook-id", identifier
    yield "webhook-timestamp", stamp
    yield "webhook-signature", f"v1,{_base64(hmac.new(key, signed, hashlib.sha256).digest())}"


def _stamp() -> str:
    return str(int(conf.now().timestamp()))


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


_SIGNERS: Mapping[str, Callable[[bytes, bytes], Iterator[tuple[str, str]]]] = {
    "header": _header,
    "hmac": _hmac,
    "standard_webhooks": _standard,
}
