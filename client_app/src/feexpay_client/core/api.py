"""The payments API, typed: one method per endpoint.

`PaymentsApi` is the protocol that the core uses; `FeexPayClient` implements it over HTTP. It knows payments only: what
a shop offers besides (sign-in, goods, balance) is in `shop`.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import quote as quoted

from feexpay_client.core import errors, models
from feexpay_client.core.connection import Answer, Connection, Setting
from feexpay_client.core.event_stream import EventParser
from feexpay_client.core.json_reader import parse

T = TypeVar("T")

#: Where `path("api/v1/payments/feexpay/", include("django_feexpay.urls"))` puts the API.
PAYMENTS_PATH = "/api/v1/payments/feexpay/"


@dataclass(frozen=True, slots=True)
class Push:
    """Something arrived by an event stream. payment: None if it only shows that the stream is open.

    retry_seconds: when to connect again after the end of the stream, as the server said last.
    """

    payment: models.Payment | None
    etag: str = ""
    retry_seconds: float | None = None


class PaymentsApi(Protocol):
    """The calls about payments. Each may raise errors.ApiError. `key` is an Idempotency-Key."""

    async def providers(self, etag: str = "") -> Answer[tuple[models.Provider, ...] | None]: ...
    async def quote(self, provider: str, amount: int, currency: str) -> models.Quote: ...
    async def initiate(self, body: Mapping[str, Any], key: str) -> Answer[models.Payment]: ...
    async def retry(self, payment_id: str, body: Mapping[str, Any], key: str) -> Answer[models.Payment]: ...
    async def otp(self, payment_id: str, code: str, key: str) -> Answer[models.Payment]: ...
    async def status(self, payment_id: str, etag: str = "") -> Answer[models.Payment | None]: ...
    def events(self, payment_id: str, etag: str = "") -> AsyncGenerator[Push, None]: ...
    async def history(self, filters: Mapping[str, str], cursor: str = "") -> models.HistoryPage: ...
    async def find_by_key(self, key: str) -> Answer[models.Payment | None]: ...
    async def find_pending(self) -> Answer[models.Payment | None]: ...
    async def close(self) -> None: ...


class FeexPayClient:
    """The payments API of one server, for one payer.

        async with FeexPayClient("https://shop.example", token=lambda: player.token) as api:
            quote = await api.quote("mtn_bj", 1000, "XOF")

    base_url: `https://…`; plain http only for this machine (ValueError otherwise). token: the payer's token, or a
    function that returns the current one. payments_path: where the server mounts the API.
    """

    def __init__(
        self,
        base_url: str,
        token: Setting = "",
        *,
        payments_path: str = PAYMENTS_PATH,
        language: Setting = "en",
        request_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        transport: Any = None,
    ) -> None:
        self.connection = Connection(base_url, token, language=language, request_id=request_id, transport=transport)
        self._path = f"/{payments_path.strip('/')}/"

    def __repr__(self) -> str:
        return f"FeexPayClient({self.base_url!r})"

    async def __aenter__(self) -> FeexPayClient:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    @property
    def base_url(self) -> str:
        return self.connection.base_url

    async def close(self) -> None:
        """Close the connections. Safe to repeat; a later call opens them again."""
        await self.connection.close()

    # --- the calls ---

    async def providers(self, etag: str = "") -> Answer[tuple[models.Provider, ...] | None]:
        return _read(
            await self.connection.call("GET", f"{self._path}providers/", etag=etag), models.providers_from_json
        )

    async def quote(self, provider: str, amount: int, currency: str) -> models.Quote:
        query = {"provider": provider, "amount": str(amount)} | ({"currency": currency} if currency else {})
        return models.Quote.from_json((await self.connection.call("GET", f"{self._path}quote/", query=query)).value)

    async def initiate(self, body: Mapping[str, Any], key: str) -> Answer[models.Payment]:
        return _payment(await self.connection.call("POST", f"{self._path}initiate/", body=body, key=key))

    async def retry(self, payment_id: str, body: Mapping[str, Any], key: str) -> Answer[models.Payment]:
        return _payment(
            await self.connection.call("POST", f"{self._path}retry/{_segment(payment_id)}/", body=body, key=key)
        )

    async def otp(self, payment_id: str, code: str, key: str) -> Answer[models.Payment]:
        path = f"{self._path}{_segment(payment_id)}/otp/"
        return _payment(await self.connection.call("POST", path, body={"otp": code}, key=key))

    async def status(self, payment_id: str, etag: str = "") -> Answer[models.Payment | None]:
        path = f"{self._path}{_segment(payment_id)}/status/"
        return _read(await self.connection.call("GET", path, etag=etag), models.Payment.from_json)

    async def events(self, payment_id: str, etag: str = "") -> AsyncGenerator[Push, None]:
        """The payment each time it changes, until the server ends the stream. `etag`: of the version you have.

        Raises errors.ApiError: Refused with `not_acceptable` where the server offers no events.
        """
        parser, opened = EventParser(), False
        async with aclosing(self.connection.stream(f"{self._path}{_segment(payment_id)}/events/", etag)) as chunks:
            async for chunk in chunks:
                if not opened:
                    opened = True
                    yield Push(None)
                for event in parser.feed(chunk):
                    payment = models.Payment.from_json(parse(event.data.encode(), "event"))
                    if payment.id != payment_id:
                        raise errors.MalformedAnswer("the event is about another payment")
                    yield Push(payment, event.id, parser.retry_seconds)
        if opened:
            yield Push(None, retry_seconds=parser.retry_seconds)

    async def history(self, filters: Mapping[str, str], cursor: str = "") -> models.HistoryPage:
        query = dict(filters) | ({"cursor": cursor} if cursor else {})
        return models.HistoryPage.from_json(
            (await self.connection.call("GET", f"{self._path}history/", query=query)).value
        )

    async def find_by_key(self, key: str) -> Answer[models.Payment | None]:
        return await self._find({"idempotency_key": key})

    async def find_pending(self) -> Answer[models.Payment | None]:
        return await self._find({"status": models.PENDING})

    async def _find(self, filters: Mapping[str, str]) -> Answer[models.Payment | None]:
        answer = await self.connection.call("GET", f"{self._path}history/", query={**filters, "page_size": "1"})
        found = models.HistoryPage.from_json(answer.value).results
        return Answer(found[0] if found else None, server_now=answer.server_now)


def _read(answer: Answer[Any], read: Callable[[object], T]) -> Answer[T | None]:
    value = None if answer.value is None else read(answer.value)
    return Answer(value, answer.etag, answer.server_now)


def _payment(answer: Answer[Any]) -> Answer[models.Payment]:
    return Answer(models.Payment.from_json(answer.value), answer.etag, answer.server_now)


def _segment(text: str) -> str:
    """Quote the text so that it stays one path segment."""
    return quoted(text, safe="")
