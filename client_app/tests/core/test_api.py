"""The requests of the API client and the meaning of each answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx
import pytest
from feexpay_client.core import errors
from feexpay_client.core.api import FeexPayClient
from feexpay_client.core.connection import Connection, server_address
from feexpay_client.core.shop import HttpShop

from tests.core.fake_server import API, PAYMENT_ID, FakeServer, answer, page, payment, problem

T = TypeVar("T")


def api_of(server: FakeServer) -> FeexPayClient:
    return FeexPayClient(
        "https://shop.test",
        lambda: "secret-token",
        language="en",
        request_id=lambda: "id-1",
        transport=server.transport(),
    )


def shop_of(server: FakeServer) -> HttpShop:
    return HttpShop(api_of(server).connection)


def run(call: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(call)


def test_initiate_carries_key_token_language_and_request_id() -> None:
    server = FakeServer()
    server.on("POST initiate/", answer(payment(), 201))
    got = run(api_of(server).initiate({"provider": "mtn_bj", "amount": 5000}, "key-1"))

    sent = server.requests[0]
    assert {
        name: sent.headers[name] for name in ("Authorization", "Idempotency-Key", "Accept-Language", "X-Request-ID")
    } == {
        "Authorization": "Bearer secret-token",
        "Idempotency-Key": "key-1",
        "Accept-Language": "en",
        "X-Request-ID": "id-1",
    }
    assert json.loads(sent.content) == {"provider": "mtn_bj", "amount": 5000}
    assert (got.value.id, got.value.status, got.value.phone) == (PAYMENT_ID, "pending", "+229 01 •• •• •• 50")


def test_signing_in_sends_no_old_token() -> None:
    server = FakeServer()
    credentials = run(shop_of(server).sign_in("ama", "pass"))

    assert "Authorization" not in server.requests[0].headers
    assert credentials.token == "secret-token"
    assert "secret-token" not in repr(credentials)


def test_every_call_uses_the_documented_path() -> None:
    server = FakeServer()
    server.on("POST retry", answer(payment(), 201))
    server.on("POST otp", answer(payment()))
    server.on("GET status", answer(payment(), ETag='W/"1"'))
    server.on("GET history/", answer(page(payment())))
    server.on(
        "GET /api/v1/shop/packs/",
        answer([{"code": "s", "name": "S", "coins": 1, "price": 10, "currency": "XOF", "metadata": {}}]),
    )
    server.on("GET /api/v1/shop/balance/", answer({"coins": 3, "entries": []}))

    async def all_of_them(api: FeexPayClient) -> None:
        shop = HttpShop(api.connection)
        assert (await shop.goods())[0].price == 10
        assert (await shop.balance()).coins == 3
        providers = await api.providers()
        assert providers.value is not None
        assert (providers.value[0].badge.monogram, providers.etag) == ("M", 'W/"p1"')
        assert (await api.quote("mtn_bj", 700, "XOF")).total == 700
        await api.retry(PAYMENT_ID, {"phone": "01"}, "k")
        await api.otp(PAYMENT_ID, "123456", "k")
        assert (await api.status(PAYMENT_ID)).etag == 'W/"1"'
        assert (await api.history({"status": "failed"}, "abc")).results[0].id == PAYMENT_ID
        assert (await api.find_by_key("k 1")).value is not None
        await shop.sign_out()
        await api.close()

    run(all_of_them(api_of(server)))

    asked = [f"{one.method} {one.url.raw_path.decode().removeprefix(API)}" for one in server.requests]
    assert asked == [
        "GET /api/v1/shop/packs/",
        "GET /api/v1/shop/balance/",
        "GET providers/",
        "GET quote/?provider=mtn_bj&amount=700&currency=XOF",
        f"POST retry/{PAYMENT_ID}/",
        f"POST {PAYMENT_ID}/otp/",
        f"GET {PAYMENT_ID}/status/",
        "GET history/?status=failed&cursor=abc",
        "GET history/?idempotency_key=k+1&page_size=1",
        "POST /api/v1/auth/logout/",
    ]


def test_304_gives_no_value_and_is_malformed_without_an_etag() -> None:
    server = FakeServer()
    server.on("GET status", httpx.Response(304))
    assert run(api_of(server).status(PAYMENT_ID, 'W/"1"')).value is None
    assert server.requests[0].headers["If-None-Match"] == 'W/"1"'

    with pytest.raises(errors.MalformedAnswer):
        run(api_of(server).status(PAYMENT_ID))


def test_unknown_key_finds_none() -> None:
    server = FakeServer()
    server.on("GET history/", answer(page(), Date="Thu, 26 Nov 2026 10:00:00 GMT"))
    found = run(api_of(server).find_by_key("k"))

    assert found.value is None
    assert found.server_now is not None
    assert found.server_now.hour == 10


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (
            problem(400, "validation_error", errors=[{"field": "phone", "code": "invalid", "message": "No."}]),
            errors.Invalid,
        ),
        (problem(401, "not_authenticated"), errors.Unauthorized),
        (problem(403, "permission_denied"), errors.Refused),
        (problem(404, "not_found"), errors.NotFound),
        (problem(409, "payment_open"), errors.Conflict),
        (problem(422, "provider_unavailable"), errors.Invalid),
        (problem(429, "throttled"), errors.Throttled),
        (problem(429, "too_many_prompts", {"Retry-After": "3000"}), errors.Refused),
        (problem(500, "server_error"), errors.ServerError),
        (problem(503, "gateway_unavailable"), errors.Unavailable),
        (httpx.Response(502, text="<html>Bad gateway</html>"), errors.ServerError),
        (httpx.Response(503, text="maintenance"), errors.ServerError),
        (httpx.Response(200, text="<html>Welcome to Hotel WiFi</html>"), errors.MalformedAnswer),
        (httpx.Response(302, headers={"Location": "http://portal.test"}), errors.MalformedAnswer),
        (httpx.Response(401, text="proxy wants a password"), errors.MalformedAnswer),
        (httpx.Response(400, json={"error": "not ours"}), errors.MalformedAnswer),
        (httpx.Response(201, content=b""), errors.MalformedAnswer),
        (httpx.Response(201, content=b"\xff\xfe"), errors.MalformedAnswer),
        (httpx.Response(201, content=b"[" * 100_000), errors.MalformedAnswer),
        (httpx.Response(201, json=[]), errors.MalformedAnswer),
        (httpx.Response(201, json=payment() | {"amount": "5000"}), errors.MalformedAnswer),
        (httpx.Response(201, json=payment() | {"amount": True}), errors.MalformedAnswer),
        (httpx.Response(201, json=payment() | {"created_at": "yesterday"}), errors.MalformedAnswer),
        (
            httpx.Response(201, json={key: value for key, value in payment().items() if key != "status"}),
            errors.MalformedAnswer,
        ),
        (problem(400, "validation_error", errors="none"), errors.MalformedAnswer),
        (httpx.ConnectError("no"), errors.Offline),
        (httpx.ConnectTimeout("no"), errors.Offline),
        (httpx.ReadTimeout("no"), errors.Timeout),
        (httpx.RemoteProtocolError("cut"), errors.ServerError),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:40]),
)
def test_each_answer_raises_its_error(response: object, error: type[errors.ApiError]) -> None:
    server = FakeServer()
    server.on("POST initiate/", response)
    with pytest.raises(errors.ApiError) as caught:
        run(api_of(server).initiate({"phone": "0197000050"}, "k"))

    assert type(caught.value) is error
    logged = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert "0197000050" not in logged
    assert "secret-token" not in logged


def test_only_the_servers_own_problem_is_a_refusal() -> None:
    """A proxy's or portal's page never means that no payment was started."""
    assert issubclass(errors.Offline, errors.OutcomeUnknown)
    for kind in (errors.MalformedAnswer, errors.ServerError, errors.Timeout, errors.Offline):
        assert not issubclass(kind, errors.Refused)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Thu, 26 Nov 2026 10:00:30 GMT", 30.0),
        ("soon", 5.0),
        ("", 5.0),
        ("-3", 5.0),
        ("99999999999", 86_400.0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header: str, seconds: float) -> None:
    server = FakeServer()
    headers = {"Retry-After": header, "Date": "Thu, 26 Nov 2026 10:00:00 GMT"}
    server.on("GET history/", problem(429, "throttled", headers))
    with pytest.raises(errors.Throttled) as caught:
        run(api_of(server).history({}))

    assert caught.value.retry_after == seconds


def test_a_conflict_names_the_open_payment() -> None:
    server = FakeServer()
    server.on("POST initiate/", problem(409, "duplicate_payment", {"Retry-After": "2"}, payment_id=PAYMENT_ID))
    with pytest.raises(errors.Conflict) as caught:
        run(api_of(server).initiate({}, "k"))

    assert (caught.value.code, caught.value.payment_id, caught.value.retry_after) == (
        "duplicate_payment",
        PAYMENT_ID,
        2.0,
    )
    assert caught.value.request_id == "req-1"


def test_an_endless_body_is_malformed() -> None:
    async def endless(request: httpx.Request) -> httpx.Response:
        async def body() -> Any:
            while True:
                yield b" " * 100_000

        return httpx.Response(200, content=body())

    api = FeexPayClient("https://shop.test", transport=httpx.MockTransport(endless))
    with pytest.raises(errors.MalformedAnswer):
        run(HttpShop(api.connection).balance())


def test_an_answer_that_never_ends_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feexpay_client.core.connection._ANSWER_SECONDS", 0.05)

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    api = FeexPayClient("https://shop.test", transport=httpx.MockTransport(never))
    with pytest.raises(errors.Timeout):
        run(HttpShop(api.connection).balance())


def test_an_id_is_quoted_as_one_path_segment() -> None:
    server = FakeServer()
    with pytest.raises(errors.NotFound):
        run(api_of(server).status("../../auth/logout"))

    assert server.requests[0].url.raw_path.decode() == f"{API}..%2F..%2Fauth%2Flogout/status/"


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("shop.example", "https://shop.example"),
        (" https://shop.example/ ", "https://shop.example"),
        ("https://shop.example:8443/game", "https://shop.example:8443/game"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_typed_server_address_is_normalised(typed: str, address: str) -> None:
    assert server_address(typed) == address


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "empty"),
        ("http://shop.example", "insecure"),
        ("http://127.0.0.1.evil.example", "insecure"),
        ("ftp://shop.example", "invalid"),
        ("https://", "invalid"),
        ("https://shop.example:port", "invalid"),
        ("https://me@shop.example", "invalid"),
        ("https://two words", "invalid"),
        ("https://[::1", "invalid"),
    ],
)
def test_wrong_server_address_is_refused(typed: str, code: str) -> None:
    with pytest.raises(ValueError, match=code):
        server_address(typed)


def test_unknown_status_is_kept_and_settles_nothing() -> None:
    server = FakeServer()
    server.on("GET status", answer(payment("paused", "a_new_word") | {"a_new_field": 1}))
    got = run(api_of(server).status(PAYMENT_ID)).value

    assert got is not None
    assert not got.settled


def test_a_closed_connection_works_again_in_another_event_loop() -> None:
    """A sheet in an app without asyncio has a loop of its own each time it is opened."""
    connection = Connection("http://127.0.0.1:9")  # nothing listens there

    async def ask_twice() -> list[object]:
        calls = (connection.call("GET", "/"), connection.call("GET", "/"))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await connection.close()
        return [type(answer) for answer in answers]

    assert [asyncio.run(ask_twice()) for _ in range(2)] == [[errors.Offline] * 2] * 2
