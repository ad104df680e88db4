"""One delivery attempt of a webhook, with its credentials: POST, JSON, no redirects followed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
import time
from urllib.parse import SplitResult, urlsplit

from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.store import Delivery

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
