"""HTTP with one server: one `httpx.AsyncClient`, the headers of each request, and the meaning of each answer.

`api.FeexPayClient` and `shop.ShopApi` send their calls through a `Connection`.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import ssl
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from feexpay_client.core import errors
from feexpay_client.core.json_reader import LARGEST_BODY, parse
from feexpay_client.core.problem_parser import problem_of, retry_after

T = TypeVar("T")
#: A value, or a function that returns the current one for each request.
Setting = str | Callable[[], str]

_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 10.0
#: `initiate/` stores the payment before it calls the gateway. After this timeout the client searches the history.
_POST_SECONDS = 12.0
#: The server sends a comment on a silent stream every 15 s.
_SILENT_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A usable answer. `server_now`: the Date header. `etag`: for If-None-Match. `value` is None after 304."""

    value: T
    etag: str = ""
    server_now: datetime | None = None


def server_address(text: str) -> str:
    """Normalise a typed server address to `https://host[:port][/path]`. Plain http only for this machine.

    Raises ValueError with a code: `empty`, `invalid`, `insecure`.
    """
    text = text.strip()
    if not text:
        raise ValueError("empty")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:  # an invalid port or an incomplete IPv6 address
        raise ValueError("invalid") from None
    if not usable or any(character.isspace() for character in text):
        raise ValueError("invalid")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("insecure")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


class Connection:
    """One server. The first call opens the connection.

    token, language: a text, or a function that returns the current one. `transport` is for tests. Without one, a thread
    builds the TLS context, because that takes longer than a frame.
    """

    def __init__(
        self,
        base_url: str,
        token: Setting = "",
        *,
        language: Setting = "en",
        request_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        transport: Any = None,
    ) -> None:
        self.base_url = server_address(base_url)
        self._token, self._language, self._request_id = token, language, request_id
        self._transport = transport
        self._httpx: Any = None
        self._creating = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Connection({self.base_url!r})"

    async def close(self) -> None:
        """Close the connections. Safe to repeat; a later call opens them again."""
        client, self._httpx = self._httpx, None
        self._creating = asyncio.Lock()  # the next loop cannot wait for a lock of this one
        if client is not None:
            await client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str = "",
        etag: str = "",
        authenticated: bool = True,
        expect_body: bool = True,
    ) -> Answer[Any]:
        """Send one request. `value` is the JSON, or None after 304 and without `expect_body`."""
        url = f"{self.base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = self._headers(authenticated, key, etag, content is not None)
        seconds = _POST_SECONDS if key else _ANSWER_SECONDS
        try:
            async with asyncio.timeout(seconds):  # httpx limits each read, not the whole answer
                status, received, raw = await self._exchange(method, url, headers, content)
        except TimeoutError:
            raise errors.Timeout from None
        return _answer_or_error(status, received, raw, conditional=bool(etag), expect_body=expect_body)

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        client = await self._connected_client()
        with _connection_errors():
            async with client.stream(method, url, headers=headers, content=content) as response:
                raw = bytearray()
                async for chunk in response.aiter_bytes():
                    raw += chunk
                    if len(raw) > LARGEST_BODY:
                        raise errors.MalformedAnswer("too large")
                return response.status_code, response.headers, bytes(raw)

    async def stream(self, path: str, last_event: str = "") -> AsyncGenerator[bytes, None]:
        """The pieces of an event stream; the first is empty and shows that it is open. Nothing after 204."""
        import httpx

        headers = self._headers(True, "", "", False) | {"Accept": "text/event-stream"}
        headers |= {"Last-Event-ID": last_event} if last_event else {}
        timeout = httpx.Timeout(_POST_SECONDS, connect=_CONNECT_SECONDS, read=_SILENT_SECONDS)
        client = await self._connected_client()
        with _connection_errors():
            async with client.stream("GET", f"{self.base_url}{path}", headers=headers, timeout=timeout) as response:
                if response.status_code == 204:
                    return
                if response.status_code != 200 or not _is_event_stream(response.headers):
                    raise await _stream_refusal(response)
                yield b""
                async for chunk in response.aiter_bytes():
                    yield chunk

    async def _connected_client(self) -> Any:
        async with self._creating:
            if self._httpx is None:
                import httpx

                verify = True if self._transport is not None else await asyncio.to_thread(_tls)
                self._httpx = httpx.AsyncClient(
                    transport=self._transport,
                    verify=verify,
                    timeout=httpx.Timeout(_POST_SECONDS, connect=_CONNECT_SECONDS),
                    follow_redirects=False,
                    trust_env=False,  # .netrc and proxy variables are ignored
                )
        return self._httpx

    def _headers(self, authenticated: bool, key: str, etag: str, has_body: bool) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Accept-Language": _now(self._language),
            "User-Agent": "feexpay-client",
            "X-Request-ID": self._request_id(),
        }
        token = _now(self._token) if authenticated else ""
        optional = {
            "Authorization": f"Bearer {token}" if token else "",
            "Idempotency-Key": key,
            "If-None-Match": etag,
            "Content-Type": "application/json" if has_body else "",
        }
        return headers | {name: value for name, value in optional.items() if value}


@contextmanager
def _connection_errors() -> Iterator[None]:
    """Turn httpx's errors into ours. `from None`: the cause contains the token and the phone number."""
    import httpx  # imported late: it would delay the first frame by 70-90 ms

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
        raise errors.Offline from None
    except httpx.TimeoutException:
        raise errors.Timeout from None
    except httpx.DecodingError:
        raise errors.MalformedAnswer("undecodable") from None
    except httpx.HTTPError:
        raise errors.ServerError(0) from None


def _is_event_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").split(";")[0].strip().lower() == "text/event-stream"


async def _stream_refusal(response: Any) -> errors.ApiError:
    """The error of an answer without events."""
    raw = bytearray()
    async for chunk in response.aiter_bytes():
        raw += chunk
        if len(raw) > LARGEST_BODY:
            return errors.MalformedAnswer("too large")
    wait = retry_after(response.headers, _date(response.headers))
    return problem_of(response.status_code, response.headers.get("Content-Type", ""), bytes(raw), wait)


def _answer_or_error(
    status: int, headers: Mapping[str, str], raw: bytes, *, conditional: bool, expect_body: bool
) -> Answer[Any]:
    now = _date(headers)
    if status == 304 and conditional:
        return Answer(None, headers.get("ETag", ""), now)
    if status in (200, 201, 202, 204):
        return Answer(parse(raw, "answer") if expect_body else None, headers.get("ETag", ""), now)
    raise problem_of(status, headers.get("Content-Type", ""), raw, retry_after(headers, now))


def _now(setting: Setting) -> str:
    return setting if isinstance(setting, str) else setting()


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        return email.utils.parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None


def _tls() -> ssl.SSLContext:
    import certifi

    return ssl.create_default_context(cafile=certifi.where())
