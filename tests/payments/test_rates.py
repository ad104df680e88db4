"""Exchange rates: plausible ones from a secure source, cached for an hour, requested by one caller at a time."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction

from django_feexpay import cache_state
from django_feexpay.payments import rates
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.rates import RatesSource, RateUnavailableError
from tests.conftest import Configure
from tests.gateway.wire_server import Peer, WireServer
from tests.payments.fakes import Clock
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db

HERE = "tests.payments.test_rates"


class FakeRates(RatesSource):
    """A source that returns what the test sets in `answer`, and counts the calls."""

    answer: Any = Decimal("605.25")
    calls = 0
    pause = threading.Event()

    def rate(self, currency: str, into: str) -> Decimal:
        type(self).calls += 1
        self.pause.wait(0.2)
        if isinstance(self.answer, Exception):
            raise self.answer
        rate: Decimal = self.answer
        return rate


@pytest.fixture
def fake_rates(configure: Configure) -> type[FakeRates]:
    FakeRates.answer, FakeRates.calls, FakeRates.pause = Decimal("605.25"), 0, threading.Event()
    FakeRates.pause.set()
    configure(RATES_SOURCE=f"{HERE}.FakeRates", RATES_STALE_SECONDS=86_400)
    return FakeRates


def dollar() -> Decimal | None:
    return rates.rate_for_user(None, "USD", "XOF")


def assert_unavailable() -> None:
    with pytest.raises(NotAllowedError) as refused:
        dollar()
    assert (refused.value.code, refused.value.retry_after_seconds) == ("rate_unavailable", 30)


def pause_over() -> None:
    """End the pause, which the cache measures by a clock that no test moves."""
    cache.delete("feexpay:rate:USD:XOF:asking")


# --- the cache ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("into", ["XOF", "XAF"])
def test_euro_uses_the_fixed_parity_and_no_source(fake_rates: type[FakeRates], into: str) -> None:
    assert rates.rate_for_user(None, "EUR", into) == Decimal("655.957")
    assert rates.rate_for_user(None, into, into) is None
    assert fake_rates.calls == 0


def test_source_is_asked_once_an_hour(fake_rates: type[FakeRates], clock: Clock) -> None:
    assert [dollar() for _ in range(3)] == [Decimal("605.25")] * 3
    fake_rates.answer = Decimal("610")
    clock.advance(3599)
    assert (dollar(), fake_rates.calls) == (Decimal("605.25"), 1)

    clock.advance(1)
    assert (dollar(), dollar(), fake_rates.calls) == (Decimal("610"), Decimal("610"), 2)


def test_old_rate_is_used_while_the_source_fails_until_it_is_stale(
    fake_rates: type[FakeRates], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    dollar()
    fake_rates.answer = RateUnavailableError("closed")
    clock.advance(3600)

    assert (dollar(), dollar(), fake_rates.calls) == (Decimal("605.25"), Decimal("605.25"), 2)
    assert "the last exchange rate for USD is used: closed" in caplog.text

    clock.advance(86_400 - 3600 - 1)
    pause_over()
    assert dollar() == Decimal("605.25")
    clock.advance(1)
    pause_over()
    assert_unavailable()

    fake_rates.answer = Decimal("620")
    pause_over()
    assert dollar() == Decimal("620")


def test_failed_source_is_not_asked_during_the_pause(fake_rates: type[FakeRates], clock: Clock) -> None:
    fake_rates.answer = RateUnavailableError("closed")

    for _ in range(3):
        assert_unavailable()
    assert fake_rates.calls == 1

    pause_over()
    assert_unavailable()
    assert fake_rates.calls == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres_only
def test_concurrent_callers_ask_once_and_all_get_the_rate(fake_rates: type[FakeRates], clock: Clock) -> None:
    fake_rates.pause.clear()

    assert at_once(20, lambda number: dollar()) == [Decimal("605.25")] * 20
    assert fake_rates.calls == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres_only
def test_while_one_caller_refreshes_the_others_use_the_old_rate(fake_rates: type[FakeRates], clock: Clock) -> None:
    dollar()
    clock.advance(3600)
    fake_rates.answer = Decimal("610")
    fake_rates.pause.clear()

    told = at_once(20, lambda number: dollar())

    assert set(map(str, told)) <= {"605.25", "605.25000000", "610.00000000"}
    assert fake_rates.calls == 2


@pytest.mark.parametrize(
    "answer",
    [
        Decimal(99),
        Decimal(2001),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal(-605),
        Decimal("1e999999"),
        605.25,
        "605",
    ],
    ids=str,
)
def test_implausible_rate_is_refused(fake_rates: type[FakeRates], answer: object) -> None:
    fake_rates.answer = answer

    assert_unavailable()


def test_rate_is_rounded_up_to_the_digits_a_payment_stores(fake_rates: type[FakeRates]) -> None:
    fake_rates.answer = Decimal("605.123456780000001")

    assert dollar() == Decimal("605.12345679")


def test_source_is_never_asked_inside_a_transaction(fake_rates: type[FakeRates]) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError):
        dollar()

    assert fake_rates.calls == 0
    assert dollar() == Decimal("605.25")


def test_source_that_raises_starts_the_pause(fake_rates: type[FakeRates], clock: Clock) -> None:
    fake_rates.answer = ZeroDivisionError()
    assert_unavailable()

    assert_unavailable()
    assert fake_rates.calls == 1


def test_source_that_raises_keeps_the_last_rate_and_its_message_out_of_the_log(
    fake_rates: type[FakeRates], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert dollar() == Decimal("605.25")
    clock.advance(3601)
    fake_rates.answer = ValueError("https://user:hunter2@bank.test")

    assert dollar() == Decimal("605.25")
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text


class Unmade(FakeRates):
    """A source whose constructor raises."""

    def __init__(self) -> None:
        raise KeyError("BANK_TOKEN")


def test_source_that_cannot_be_made_makes_the_rate_unavailable(configure: Configure) -> None:
    configure(RATES_SOURCE=f"{HERE}.Unmade")

    assert_unavailable()


def test_without_a_cache_nothing_is_converted(
    fake_rates: type[FakeRates], settings: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_state, "_availability", cache_state._Availability())
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }

    assert_unavailable()
    assert "the cache is unavailable" in caplog.text
    assert fake_rates.calls == 0


@pytest.mark.parametrize("value", [{}, {"USD": "0.0016"}, {"USD": "words"}, "USD"], ids=str)
def test_settings_without_a_usable_rate_make_it_unavailable(configure: Configure, value: object) -> None:
    configure(RATES=value)

    assert_unavailable()


def test_changed_rate_of_the_settings_is_used_at_once(configure: Configure) -> None:
    for value in ({"USD": "605.25"}, {"USD": Decimal("606")}, "USD:607.5"):
        configure(RATES=value)
        told = dollar()
        assert told is not None
        assert f"{told:f}".rstrip("0").rstrip(".") in str(value)


# --- over the socket -----------------------------------------------------------------------------------


@pytest.fixture
def served(configure: Configure) -> Callable[..., Any]:
    """A server on this machine with a given behaviour, and the settings that point to it."""

    @contextmanager
    def serve(behave: Callable[[Peer], None], **changes: Any) -> Iterator[WireServer]:
        with WireServer(behave) as server:
            keys = {
                "RATES_SOURCE": "django_feexpay.payments.rates.HttpRates",
                "RATES_URL": server.url + "/{currency}?symbols={into}&key=canary",
                "RATES_KEY_PATH": "rates.{into}",
            }
            configure(**(keys | changes))
            yield server
            rates._transport.cache_clear()  # its connection closes with the server

    return serve


def saying(body: object, **how: Any) -> Callable[[Peer], None]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(raw, **how)

    return behave


@pytest.mark.parametrize(
    ("body", "path", "rate"),
    [
        (b'{"rates": {"XOF": 605.123456789}}', "rates.{into}", "605.12345679"),
        (b'{"rates": {"XOF": 600}}', "rates.XOF", "600"),
        (b'{"rate": "605.25"}', "rate", "605.25"),
        (b'[{"code": "EUR"}, {"USD": {"value": 6.0525e2}}]', "1.{currency}.value", "605.25"),
    ],
)
def test_rate_is_read_at_the_path(served: Callable[..., Any], body: bytes, path: str, rate: str) -> None:
    with served(saying(body), RATES_KEY_PATH=path) as server:
        assert dollar() == Decimal(rate)
        assert dollar() == Decimal(rate)

    [request] = server.requests
    assert request.startswith(b"GET /api/USD?symbols=XOF&key=canary HTTP/1.1\r\n")
    assert b"Authorization" not in request


def test_rate_in_euros_is_converted_by_the_parity(served: Callable[..., Any]) -> None:
    with served(saying({"rates": {"EUR": 0.92}}), RATES_KEY_PATH="rates.EUR", RATES_QUOTED_IN="EUR"):
        assert dollar() == Decimal("603.48044")


@pytest.mark.parametrize(
    "body",
    [
        {"rates": {}},
        {"rates": None},
        {"rates": [1]},
        {"rates": {"XOF": None}},
        {"rates": {"XOF": True}},
        {"rates": {"XOF": "6e2"}},
        {"rates": {"XOF": " 605"}},
        {"rates": {"XOF": "٦٠٥"}},
        {"rates": {"XOF": {"value": 605}}},
        {"rates": {"XOF": -605}},
        {"rates": {"XOF": 0.00165}},
        b'{"rates": {"XOF": NaN}}',
        b'{"rates": {"XOF": Infinity}}',
        b'{"rates": {"XOF": 1e400}}',
        b'{"rates": {"XOF": 605',
        b"\xff\xfe",
        b"",
        b"[" * 50_000,
        b"<html>605</html>",
        b'{"rates": {"XOF": 605}, "pad": "' + b"x" * 70_000 + b'"}',
    ],
    ids=lambda body: str(body)[:40],
)
def test_answer_without_a_rate_makes_it_unavailable(served: Callable[..., Any], body: object) -> None:
    with served(saying(body)):
        assert_unavailable()


def test_redirect_is_not_followed(served: Callable[..., Any]) -> None:
    headers = ["Location: http://127.0.0.1:9/elsewhere"]
    with served(saying({"rates": {"XOF": 605}}, status="302 Found", headers=headers)) as server:
        assert_unavailable()

    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["204 No Content", "403 Forbidden", "429 Too Many Requests", "500 Oops"])
def test_status_other_than_200_makes_the_rate_unavailable(served: Callable[..., Any], status: str) -> None:
    with served(saying({"rates": {"XOF": 605}}, status=status)):
        assert_unavailable()


@pytest.mark.parametrize(
    "url",
    [
        "http://rates.example/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "rates.example",
        "https://",
        "https://[::1",
        "https://rates.example:port/",
        "",
    ],
)
def test_insecure_address_is_not_called(configure: Configure, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(rates, "_reply", lambda url: pytest.fail("it was called"))
    configure(RATES_SOURCE="django_feexpay.payments.rates.HttpRates", RATES_URL=url, RATES_KEY_PATH="rate")

    assert_unavailable()


def test_key_in_the_address_is_not_logged(
    served: Callable[..., Any], configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="django_feexpay")
    with served(saying({}, status="500 Oops")):
        assert_unavailable()
    with served(lambda peer: peer.reset()):
        pause_over()
        assert_unavailable()
    configure(RATES_URL="http://rates.example/?key=canary")
    pause_over()
    assert_unavailable()

    assert caplog.text.count("no exchange rate for USD") == 3
    assert "canary" not in caplog.text
