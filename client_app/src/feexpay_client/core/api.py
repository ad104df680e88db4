"""Typed client of the server's HTTP API: one method per endpoint.

`ApiClient` is the protocol that the core uses; `HttpxApi` implements it with one httpx.AsyncClient.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import ssl
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from feexpay_client.core import errors, models
from feexpay_client.core.json_reader import LARGEST_BODY, Fields, parse
from feexpay_client.core.problem_parser import problem_of, retry_after

T = TypeVar("T")

_PAYMENTS = "/api/v1/payments/feexpay/"
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 10.0
#: `initiate/` stores the payment, then calls the gateway. After this time it is faster to search for the payment.
_POST_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A usable answer. `server_now`: the Date header. `etag`: for If-None-Match. `value` is None after 304."""

    value: T
    etag: str = ""
    server_now: datetime | None = None


class ApiClient(Protocol):
    """The calls of the server. Each may raise errors.ApiError. `key` is an Idempotency-Key."""

    async def sign_in(self, username: str, password: str) -> models.Credentials: ...
    async def sign_out(self) -> None: ...
    async def packs(self) -> tuple[models.Pack, ...]: ...
    async def balance(self) -> models.Balance: ...
    async def providers(self, etag: str = "") -> Answer[tuple[models.Provider, ...] | None]: ...
    async def quote(self, provider: str, amount: int, currency: str) -> models.Quote: ...
    async def initiate(self, body: Mapping[str, Any], key: str) -> Answer[models.Payment]: ...
    async def retry(self, payment_id: str, body: Mapping[str, Any], key: str) -> Answer[models.Payment]: ...
    async def otp(self, payment_id: str, code: str, key: str) -> Answer[models.Payment]: ...
    async def status(self, payment_id: str, etag: str = "") -> Answer[models.Payment | None]: ...
    async def history(self, filters: Mapping[str, str], cursor: str = "") -> models.HistoryPage: ...
    async def find_by_key(self, key: str) -> Answer[models.Payment | None]: ...
    async def find_pending(self) -> Answer[models.Payment | None]: ...
    async def close(self) -> None: ...


@dataclass(slots=True)
class Hooks:
    """Functions that give each request its token, language and request id. The repr hides the token."""

    token: Callable[[], str] = field(default=lambda: "", repr=False)
    language: Callable[[], str] = lambda: "fr"
    request_id: Callable[[], str] = lambda: uuid.uuid4().hex


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
    except ValueError:  # a port that is no number, half an IPv6 address
        raise ValueError("invalid") from None
    if not usable or any(character.isspace() for character in text):
        raise ValueError("invalid")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("insecure")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


class HttpxApi:
    """The API of one server. The first call creates the connection.

    `transport` is for tests. Without one, a thread builds the TLS context, because that takes longer than a frame.
    """

    def __init__(self, server: str, hooks: Hooks, *, transport: Any = None) -> None:
        self._server = server_address(server)
        self._hooks = hooks
        self._transport = transport
        self._client: Any = None
        self._creating = asyncio.Lock()

    @property
    def server(self) -> str:
        return self._server

    async def close(self) -> None:
        """Close the connections. Safe to repeat; a later call opens them again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # --- the calls ---

    async def sign_in(self, username: str, password: str) -> models.Credentials:
        body = {"username": username, "password": password}
        fields = Fields(
            (await self._call("POST", "/api/v1/auth/token/", body=body, authenticated=False)).value, "token"
        )
        return models.Credentials(username, fields.text("token"), fields.maybe_instant("expires_at"))

    async def sign_out(self) -> None:
        await self._call("POST", "/api/v1/auth/logout/", expect_body=False)

    async def packs(self) -> tuple[models.Pack, ...]:
        return models.packs_from_json((await self._call("GET", "/api/v1/shop/packs/", authenticated=False)).value)

    async def balance(self) -> models.Balance:
        return models.Balance.from_json((await self._call("GET", "/api/v1/shop/balance/")).value)

    async def providers(self, etag: str = "") -> Answer[tuple[models.Provider, ...] | None]:
        return _read(await self._call("GET", f"{_PAYMENTS}providers/", etag=etag), models.providers_from_json)

    async def quote(self, provider: str, amount: int, currency: str) -> models.Quote:
        query = {"provider": provider, "amount": str(amount)} | ({"currency": currency} if currency else {})
        return models.Quote.from_json((await self._call("GET", f"{_PAYMENTS}quote/", query=query)).value)

    async def initiate(self, body: Mapping[str, Any], key: str) -> Answer[models.Payment]:
        return _payment(await self._call("POST", f"{_PAYMENTS}initiate/", body=body, key=key))

    async def retry(self, payment_id: str, body: Mapping[str, Any], key: str) -> Answer[models.Payment]:
        return _payment(await self._call("POST", f"{_PAYMENTS}retry/{_segment(payment_id)}/", body=body, key=key))

    async def otp(self, payment_id: str, code: str, key: str) -> Answer[models.Payment]:
        path = f"{_PAYMENTS}{_segment(payment_id)}/otp/"
        return _payment(await self._call("POST", path, body={"otp": code}, key=key))

    async def status(self, payment_id: str, etag: str = "") -> Answer[models.Payment | None]:
        path = f"{_PAYMENTS}{_segment(payment_id)}/status/"
        return _read(await self._call("GET", path, etag=etag), models.Payment.from_json)

    async def history(self, filters: Mapping[str, str], cursor: str = "") -> models.HistoryPage:
        query = dict(filters) | ({"cursor": cursor} if cursor else {})
        return models.HistoryPage.from_json((await self._call("GET", f"{_PAYMENTS}history/", query=query)).value)

    async def find_by_key(self, key: str) -> Answer[models.Payment | None]:
        return await self._find({"idempotency_key": key})

    async def find_pending(self) -> Answer[models.Payment | None]:
        return await self._find({"status": models.PENDING})

    # --- requests ---

    async def _find(self, filters: Mapping[str, str]) -> Answer[models.Payment | None]:
        answer = await self._call("GET", f"{_PAYMENTS}history/", query={**filters, "page_size": "1"})
        found = models.HistoryPage.from_json(answer.value).results
        return Answer(found[0] if found else None, server_now=answer.server_now)

    async def _call(
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
        url = f"{self._server}{path}" + (f"?{urlencode(query)}" if query else "")
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
        import httpx  # imported late: it would delay the first frame by 70-90 ms

        client = await self._connected_client()
        try:
            async with client.stream(method, url, headers=headers, content=content) as response:
                raw = bytearray()
                async for chunk in response.aiter_bytes():
                    raw += chunk
                    if len(raw) > LARGEST_BODY:
                        raise errors.MalformedAnswer("too large")
                return response.status_code, response.headers, bytes(raw)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise errors.Offline from None  # from None: the cause contains the token and the phone number
        except httpx.TimeoutException:
            raise errors.Timeout from None
        except httpx.DecodingError:
            raise errors.MalformedAnswer("undecodable") from None
        except httpx.HTTPError:
            raise errors.ServerError(0) from None

    async def _connected_client(self) -> Any:
        async with self._creating:
            if self._client is None:
                import httpx

                verify = True if self._transport is not None else await asyncio.to_thread(_tls)
                self._client = httpx.AsyncClient(
                    transport=self._transport,
                    verify=verify,
                    timeout=httpx.Timeout(_POST_SECONDS, connect=_CONNECT_SECONDS),
                    follow_redirects=False,
                    trust_env=False,  # ignore .netrc and proxy variables
                )
        return self._client

    def _headers(self, authenticated: bool, key: str, etag: str, has_body: bool) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Accept-Language": self._hooks.language(),
            "User-Agent": "feexpay-client",
            "X-Request-ID": self._hooks.request_id(),
        }
        token = self._hooks.token() if authenticated else ""
        optional = {
            "Authorization": f"Bearer {token}" if token else "",
            "Idempotency-Key": key,
            "If-None-Match": etag,
            "Content-Type": "application/json" if has_body else "",
        }
        return headers | {name: value for name, value in optional.items() if value}


def _answer_or_error(
    status: int, headers: Mapping[str, str], raw: bytes, *, conditional: bool, expect_body: bool
) -> Answer[Any]:
    now = _date(headers)
    if status == 304 and conditional:
        return Answer(None, headers.get("ETag", ""), now)
    if status in (200, 201, 202, 204):
        return Answer(parse(raw, "answer") if expect_body else None, headers.get("ETag", ""), now)
    raise problem_of(status, headers.get("Content-Type", ""), raw, retry_after(headers, now))


def _read(answer: Answer[Any], read: Callable[[object], T]) -> Answer[T | None]:
    value = None if answer.value is None else read(answer.value)
    return Answer(value, answer.etag, answer.server_now)


def _payment(answer: Answer[Any]) -> Answer[models.Payment]:
    return Answer(models.Payment.from_json(answer.value), answer.etag, answer.server_now)


def _segment(text: str) -> str:
    """Quote the text so that it stays one path segment."""
    from urllib.parse import quote

    return quote(text, safe="")


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        return email.utils.parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None


def _tls() -> ssl.SSLContext:
    import certifi

    return ssl.create_default_context(cafile=certifi.where())
