"""One delivery attempt of a webhook over a plain socket: POST, JSON, no redirects followed."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import SplitResult, urlsplit

from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.signing import credentials
from django_feexpay.sandbox.store import Delivery

ANSWER_SECONDS = 10.0

# FeexPay publishes no retry policy: these gaps are an assumption. Five attempts in all.
RETRY_GAPS_SECONDS = (5.0, 30.0, 120.0, 600.0)


async def attempt(options: Options, address: str, delivery: Delivery) -> tuple[bool, str]:
    """Whether the shop answered 2xx, and the HTTP code or the failure in words."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            proof = credentials(options, delivery.id, delivery.body) if delivery.signed else {}
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
    tls = ssl.create_default_context() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port or (443 if tls else 80), ssl=tls, limit=8192)
    try:
        writer.write(_head(url, credentials, len(body)) + body)
        await writer.drain()
        return _code(await reader.readuntil(b"\r\n"))
    finally:
        writer.close()


def _head(url: SplitResult, credentials: dict[str, str], length: int) -> bytes:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    headers = {
        "Host": url.netloc.rpartition("@")[2],
        "Content-Type": "application/json",
        "Content-Length": str(length),
        "User-Agent": "feexpay-sandbox",
        "Accept": "application/json",
        "Connection": "close",
    } | credentials
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _code(status_line: bytes) -> int:
    version, _, rest = status_line.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError("not an HTTP answer")
    return int(rest[:3])
