"""Which webhooks are sent about a payment, which are lost, late, repeated or forged, and how one is delivered."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.fault_settings import CurrentSettings
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.store import Delivery, Payment, Store

# Time between a webhook and the extra ones that the fault settings add.
SPACING_SECONDS = 1.0

LOST = "lost"


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook to send about a payment. None: the payment's own value. `signed` False: without credentials."""

    status: str | None = None
    amount: int | None = None
    reference: str | None = None
    delay_seconds: float = 0.0
    signed: bool = True


class WebhookQueue:
    """Queues webhooks in the store, from which the timers send them. Without a webhook address it queues nothing."""

    def __init__(self, store: Store, options: Options, current_settings: CurrentSettings) -> None:
        self._store = store
        self._options = options
        self._current_settings = current_settings

    @property
    def address(self) -> str:
        """Where webhooks go now; "" sends none."""
        return self._current_settings.now.webhook_url or self._options.webhook_url

    def announce(self, payment: Payment, status: str, due_at: float) -> None:
        """Queue the webhook of a status, with the faults of the settings."""
        settings = self._current_settings.now
        if status == scenarios.FAILED and not settings.webhook_on_failure:
            return
        body = bodies.webhook(payment, status, due_at)
        due_at += self._scaled(settings.webhook_delay_seconds)
        roll = self._current_settings.draw("webhook")
        if roll() < settings.webhook_lost_percent:
            self.queue(payment.reference, body, None)
            return
        self.queue(payment.reference, body, due_at)
        later = due_at + self._scaled(SPACING_SECONDS)
        if roll() < settings.webhook_duplicate_percent:
            self.queue(payment.reference, body, later)
        if roll() < settings.webhook_disorder_percent:
            self.queue(payment.reference, body | {"status": scenarios.PENDING, "reason": ""}, later)
        if roll() < settings.webhook_forged_percent:
            self.queue(payment.reference, body | _forged_fields(body, roll()), due_at)
        if roll() < settings.webhook_unknown_percent:
            unknown = str(uuid.uuid4())
            self.queue(payment.reference, body | {"reference": unknown, "order_id": unknown}, due_at)

    def send(self, payment: Payment, request: WebhookRequest, now: float) -> None:
        """Queue exactly this webhook; the fault settings do not touch it."""
        due_at = now + self._scaled(request.delay_seconds)
        body = bodies.webhook(payment, request.status or payment.status, due_at)
        if request.amount is not None:
            body["amount"] = request.amount
        if request.reference is not None:
            body |= {"reference": request.reference, "order_id": request.reference}
        self.queue(payment.reference, body, due_at, signed=request.signed)

    def queue(self, key: str, body: dict[str, Any], due_at: float | None, *, signed: bool = True) -> None:
        """Queue this body. `key`: the reference of its payment. Without `due_at` it counts as lost."""
        if not self.address:
            return
        if self._current_settings.now.webhook_v1:
            body = bodies.in_v1_format(body)
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        outcome = "" if due_at is not None else LOST
        self._store.add_delivery(key, str(body["status"]), text.encode(), due_at, outcome=outcome, signed=signed)

    def _scaled(self, seconds: float) -> float:
        return seconds * self._options.time_scale


def _forged_fields(body: dict[str, Any], chance: float) -> dict[str, Any]:
    """Another status, or one unit more."""
    if chance < 50:
        return {"amount": body["amount"] + 1}
    status = scenarios.FAILED if body["status"] == scenarios.SUCCESSFUL else scenarios.SUCCESSFUL
    return {"status": status, "reason": ""}


# --- one attempt to deliver ----------------------------------------------------------------------------------------

ANSWER_SECONDS = 10.0

# FeexPay publishes no retry policy: these gaps are an assumption. Five attempts in all.
RETRY_GAPS_SECONDS = (5.0, 30.0, 120.0, 600.0)


async def attempt(options: Options, address: str, delivery: Delivery) -> tuple[bool, str]:
    """Whether the shop answered 2xx, and the HTTP code or the failure in words."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            proof = _credentials(options, delivery) if delivery.signed else {}
            code = await _post(urlsplit(address), proof, delivery.body)
    except ConnectionRefusedError:
        return False, "connection refused"
    except TimeoutError:
        return False, "no answer"
    except ssl.SSLError:
        return False, "TLS failed"
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False, "connection failed"
    return 200 <= code < 300, str(code)


async def _post(url: SplitResult, credentials: dict[str, str], body: bytes) -> int:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    headers = {
        "Host": url.netloc.rpartition("@")[2],
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": "feexpay-sandbox",
        "Accept": "application/json",
        "Connection": "close",
    } | credentials
    head = "\r\n".join([f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())])
    tls = ssl.create_default_context() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port or (443 if tls else 80), ssl=tls, limit=8192)
    try:
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        version, _, rest = (await reader.readuntil(b"\r\n")).partition(b" ")
    finally:
        writer.close()
    if not version.startswith(b"HTTP/1."):
        raise ValueError("not an HTTP answer")
    return int(rest[:3])


def _credentials(options: Options, delivery: Delivery) -> dict[str, str]:
    """The headers that prove the sender.

    FeexPay signs nothing. It may send a fixed Authorization header chosen by the merchant; the other modes are ours,
    for tests and for projects behind a relay that signs.
    """
    if options.webhook_mode == "header":
        return {"Authorization": options.webhook_secret}
    if options.webhook_mode == "hmac":
        secret = options.webhook_secret.encode()
        return {options.webhook_header: hmac.new(secret, delivery.body, hashlib.sha256).hexdigest()}
    if options.webhook_mode == "standard_webhooks":
        # Every attempt has the same identifier and its own timestamp.
        identifier, stamp = f"msg_{delivery.id}", str(int(time.time()))
        signed = f"{identifier}.{stamp}.".encode() + delivery.body
        mac = hmac.new(standard_key(options.webhook_secret), signed, hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(mac).decode()
        return {"webhook-id": identifier, "webhook-timestamp": stamp, "webhook-signature": signature}
    return {}


def standard_key(secret: str) -> bytes:
    """The key in a Standard Webhooks secret, with or without `whsec_`. Raises ValueError."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError as error:
        raise ValueError("--webhook-mode standard_webhooks needs a base64 --webhook-secret") from error
