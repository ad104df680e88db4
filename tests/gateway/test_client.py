"""The requests that the client sends, and what callers and the observer get."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.client import CallSeen, Gateway
from django_feexpay.gateway.errors import MisconfiguredError, NotSentError, OutcomeUnknownError, RefusedError
from django_feexpay.gateway.reports import StatusReport
from django_feexpay.gateway.request_bodies import reduced_description
from django_feexpay.gateway.transport import HttpTransport, Timeouts, WireRequest
from tests.gateway.conftest import ServerFactory
from tests.gateway.fixed_reply import (
    ATTEMPT,
    KEY,
    REFERENCE,
    SHOP,
    FixedReplyTransport,
    attempt,
    gateway_that_answers,
)
from tests.gateway.wire_server import LONG, Peer

BASE = "https://gateway.invalid/api"
ACCEPTED = {"reference": REFERENCE, "status": "PENDING"}
HISTORY = {"success": True, "total": 0, "data": []}


def asked(transport: FixedReplyTransport) -> WireRequest:
    (request,) = transport.requests
    return request


def body_of(request: WireRequest) -> dict[str, object]:
    assert request.body is not None
    parsed: dict[str, object] = json.loads(request.body)
    return parsed


def gateway_over(transport: FixedReplyTransport, **changed: object) -> Gateway:
    facts: dict[str, object] = {"api_key": KEY, "shop_id": SHOP, "base_url": BASE, "transport": transport}
    return Gateway(**(facts | changed))  # type: ignore[arg-type]  # the test says what differs


# --- collect on the wire --------------------------------------------------------------------------


def test_collect_sends_only_the_documented_fields() -> None:
    transport = FixedReplyTransport(200, ACCEPTED)

    gateway_over(transport).collect(attempt())

    request = asked(transport)
    assert (request.method, request.url) == ("POST", f"{BASE}/transactions/public/requesttopay/mtn")
    assert body_of(request) == {
        "phoneNumber": "2290197000050",
        "amount": 5000,
        "shop": SHOP,
        "callback_info": ATTEMPT,
    }
    assert request.headers == {
        "Authorization": f"Bearer {KEY}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "django-feexpay",
        "Content-Type": "application/json",
    }
    assert request.fresh_connection is True


@pytest.mark.parametrize("amount", [True, 5000.0, "5000", None])
def test_collect_refuses_an_amount_that_is_not_an_int(amount: object) -> None:
    transport = FixedReplyTransport(200, ACCEPTED)

    with pytest.raises(TypeError):
        gateway_over(transport).collect(attempt(amount=amount))
    assert transport.requests == []


@pytest.mark.parametrize(
    ("text", "reduced"),
    [
        ("100 coins", "100 coins"),
        ("Pièces – d'or", "Pieces d or"),
        ("a-b_c.d", "a b c d"),
        ("  many   spaces\n", "many spaces"),
        ("Œuvre № 5", "uvre No 5"),
        ("日本", ""),
        ("", ""),
        ("x" * 150, "x" * 100),
        ("y" * 99 + " z", "y" * 99),
    ],
)
def test_description_is_reduced_to_the_accepted_characters(text: str, reduced: str) -> None:
    assert reduced_description(text) == reduced


@given(text=st.text(max_size=200))
def test_reduced_description_contains_only_accepted_characters(text: str) -> None:
    reduced = reduced_description(text)

    assert len(reduced) <= 100
    assert all(sign.isascii() and (sign.isalnum() or sign == " ") for sign in reduced)
    assert reduced == " ".join(reduced.split())


# --- deadlines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total_seconds", "expected"),
    [
        (None, Timeouts(3.0, 10.0, 15.0)),
        (2.0, Timeouts(3.0, 10.0, 2.0)),
        (15.0, Timeouts(3.0, 10.0, 15.0)),
        (120.0, Timeouts(3.0, 120.0, 120.0)),  # a synchronous provider replies only after the payer has acted
    ],
)
def test_total_seconds_replaces_the_usual_deadline(total_seconds: float | None, expected: Timeouts) -> None:
    transport = FixedReplyTransport(200, {**ACCEPTED})
    gateway = gateway_over(transport)

    gateway.collect(attempt(), total_seconds=total_seconds)
    gateway.fetch_status(REFERENCE, total_seconds=total_seconds)

    assert [request.timeouts for request in transport.requests] == [expected, expected]


# --- reads on the wire ----------------------------------------------------------------------------


def test_status_request_names_one_reference() -> None:
    transport = FixedReplyTransport(200, {"status": "SUCCESSFUL", "reference": REFERENCE, "amount": 5000})

    report = gateway_over(transport).fetch_status(REFERENCE)

    request = asked(transport)
    assert (request.method, request.body, request.fresh_connection) == ("GET", None, False)
    assert request.url == f"{BASE}/transactions/public/single/status/{REFERENCE}"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert (report.word, report.amount) == (Word.SUCCESSFUL, 5000)


def test_reference_is_percent_encoded() -> None:
    transport = FixedReplyTransport(200, {"status": "PENDING"})

    gateway_over(transport).fetch_status("AG_1:2+3=4")

    assert asked(transport).url.endswith("/single/status/AG_1%3A2%2B3%3D4")


@pytest.mark.parametrize("reference", ["", "..", "a/b", "a?b", "x" * 101, "a\nb", "é"])
def test_unusable_reference_is_missing_without_a_request(reference: str) -> None:
    transport = FixedReplyTransport(200, {"status": "SUCCESSFUL"})

    assert gateway_over(transport).fetch_status(reference) == StatusReport(word=Word.MISSING)
    assert transport.requests == []


@pytest.mark.parametrize(
    ("provider", "word", "name", "status"),
    [
        (None, None, "ALL", "ALL"),
        ("mtn_ci", None, "MTN CI", "ALL"),
        ("mtn_bj", Word.SUCCESSFUL, "MTN", "SUCCESSFUL"),
        (None, Word.PENDING, "ALL", "PENDING"),
        (None, Word.FAILED, "ALL", "FAILED"),
        ("wave_bf", Word.FAILED, "ALL", "FAILED"),  # FeexPay cannot filter by it
        ("visa", None, "ALL", "ALL"),
    ],
)
def test_history_request_has_its_filters(provider: str | None, word: Word | None, name: str, status: str) -> None:
    transport = FixedReplyTransport(200, HISTORY)
    spec = CATALOGUE[provider] if provider else None

    page = gateway_over(transport).search_history(date(2026, 7, 1), date(2026, 8, 1), provider=spec, word=word)

    request = asked(transport)
    assert (request.method, request.url) == ("POST", f"{BASE}/transactions/history")
    assert request.fresh_connection is False
    assert body_of(request) == {
        "start_date": "2026-07-01",
        "end_date": "2026-08-01",
        "shop": SHOP,
        "type": "PAYIN",
        "status": status,
        "reseau": name,
    }
    assert page.complete


@pytest.mark.parametrize(("start", "end"), [(date(2026, 7, 2), date(2026, 7, 1)), (date(2026, 7, 1), date(2026, 8, 2))])
def test_history_period_of_more_than_31_days_or_backwards_is_refused(start: date, end: date) -> None:
    with pytest.raises(ValueError, match="31 days"):
        gateway_that_answers(200, HISTORY).search_history(start, end)


@pytest.mark.parametrize("word", [Word.UNKNOWN, Word.MISSING])
def test_history_cannot_be_filtered_by_our_own_words(word: Word) -> None:
    with pytest.raises(ValueError, match="pending, successful and failed"):
        gateway_that_answers(200, HISTORY).search_history(date(2026, 7, 1), date(2026, 7, 1), word=word)


def test_balance_request_names_the_shop() -> None:
    transport = FixedReplyTransport(200, {"data": {"data": {"balances": {"MTN": 12_000}}}})

    balances = gateway_over(transport, shop_id="shop/1").balance()

    assert balances == {"MTN": 12_000}
    assert asked(transport).url == f"{BASE}/balance/public/getByShop/shop%2F1"


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "fp key", "fp_key\n", "clé", "fp\r\nX: y"])
def test_unusable_key_is_misconfigured_before_anything_is_sent(key: str) -> None:
    transport = FixedReplyTransport(200, ACCEPTED)
    gateway = gateway_over(transport, api_key=key)

    with pytest.raises(MisconfiguredError) as caught:
        gateway.collect(attempt())

    assert caught.value.code == "invalid_api_key"
    assert transport.requests == []


def test_missing_shop_is_misconfigured_before_anything_is_sent() -> None:
    transport = FixedReplyTransport(200, ACCEPTED)

    with pytest.raises(MisconfiguredError) as caught:
        gateway_over(transport, shop_id="").balance()

    assert caught.value.code == "unknown_shop"
    assert transport.requests == []


@pytest.mark.parametrize(
    "base_url",
    ["", "gateway.invalid", "ftp://gateway.invalid", "https://", "https://u:p@h/api", "https://h/a?b", "https://h#c"],
)
def test_invalid_base_url_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        gateway_over(FixedReplyTransport(200, {}), base_url=base_url)


def test_slash_at_the_end_of_the_base_url_changes_nothing() -> None:
    transport = FixedReplyTransport(200, {"status": "PENDING"})

    gateway_over(transport, base_url=BASE + "/").fetch_status("r")

    assert asked(transport).url == f"{BASE}/transactions/public/single/status/r"


def test_proxy_goes_to_the_default_transport() -> None:
    with pytest.raises(ValueError, match="proxy"):
        Gateway(api_key=KEY, shop_id=SHOP, base_url=BASE, proxy="socks5://127.0.0.1:1080")


# --- observer and repr -----------------------------------------------------------------


def test_observer_gets_every_successful_call() -> None:
    seen: list[CallSeen] = []

    gateway_that_answers(202, ACCEPTED, seen=seen).collect(attempt())
    gateway_that_answers(200, {"status": "PENDING"}, seen=seen).fetch_status(REFERENCE)
    gateway_that_answers(200, HISTORY, seen=seen).search_history(date(2026, 7, 1), date(2026, 7, 1))
    gateway_that_answers(200, {"balances": {}}, seen=seen).balance()

    assert [(call.operation, call.outcome, call.provider_code, call.http_status) for call in seen] == [
        ("collect", "answered", "mtn_bj", 202),
        ("status", "answered", None, 200),
        ("history", "answered", None, 200),
        ("balance", "answered", None, 200),
    ]
    assert all(call.seconds >= 0 for call in seen)


def test_observer_gets_failed_calls_with_their_code() -> None:
    seen: list[CallSeen] = []

    with pytest.raises(OutcomeUnknownError):
        gateway_that_answers(502, b"", seen=seen).collect(attempt())
    with pytest.raises(OutcomeUnknownError):
        gateway_that_answers(429, b"", seen=seen).fetch_status(REFERENCE)
    with pytest.raises(RefusedError):
        gateway_that_answers(400, {"message": "PAYER_NOT_FOUND"}, seen=seen).collect(attempt())

    assert [(call.outcome, call.http_status) for call in seen] == [
        ("outcome_unknown", 502),
        ("rate_limited", 429),
        ("payer_not_found", 400),
    ]


def test_observer_gets_a_call_without_a_reply() -> None:
    class Broken:
        def exchange(self, request: WireRequest) -> object:
            raise NotSentError("nothing was sent")

    seen: list[CallSeen] = []
    gateway = gateway_over(Broken(), observer=seen.append)  # type: ignore[arg-type]  # it never returns

    with pytest.raises(NotSentError):
        gateway.balance()

    assert [(call.operation, call.outcome, call.http_status) for call in seen] == [("balance", "not_sent", None)]


def test_no_repr_contains_personal_data_or_secrets() -> None:
    transport = FixedReplyTransport(200, ACCEPTED)
    gateway = gateway_over(transport)
    request = attempt(
        "coris_bj",
        otp="314159",
        description="canary",
        first_name="Canary",
        last_name="Canary",
        email="canary@example.com",
        return_url="https://canary.example/",
    )

    gateway.collect(request)
    written = f"{gateway!r} {request!r} {asked(transport)!r}"

    for hidden in ("anary", "0197000050", "97000", "314159", KEY):
        assert hidden not in written


# --- over a real socket ---------------------------------------------------------------------------


def test_collect_opens_a_new_connection_and_later_reads_use_it(serve: ServerFactory) -> None:
    answers = json.dumps({**ACCEPTED, "balances": {"MTN": 1}}).encode()

    def behave(peer: Peer) -> None:
        while peer.read_request():
            peer.answer(answers)

    server = serve(behave)
    transport = HttpTransport()
    gateway = Gateway(api_key=KEY, shop_id=SHOP, base_url=server.url, transport=transport, sandbox_allowed=True)

    gateway.balance()
    gateway.collect(attempt())
    gateway.fetch_status(REFERENCE)
    gateway.collect(attempt())
    transport.close()

    assert server.connection_count == 3
    assert [request.split(b" HTTP/1.1")[0] for request in server.requests] == [
        b"GET /api/balance/public/getByShop/SHOP00000000001",
        b"POST /api/transactions/public/requesttopay/mtn",
        b"GET /api/transactions/public/single/status/" + REFERENCE.encode(),
        b"POST /api/transactions/public/requesttopay/mtn",
    ]


def test_lost_reply_to_collect_is_unknown_and_not_sent_again(serve: ServerFactory) -> None:
    server = serve(lambda peer: peer.read_request() and None)
    gateway = Gateway(
        api_key=KEY,
        shop_id=SHOP,
        base_url=server.url,
        timeouts=LONG,
        sandbox_allowed=True,
    )

    with pytest.raises(OutcomeUnknownError):
        gateway.collect(attempt())

    assert len(server.requests) == 1


def test_history_has_a_larger_limit_than_other_replies() -> None:
    gateway = Gateway(
        api_key=KEY,
        shop_id=SHOP,
        base_url="https://gateway.invalid/api",
        transport=(transport := FixedReplyTransport(200, {"success": True, "total": 0, "data": []})),
    )

    gateway.search_history(date(2026, 7, 1), date(2026, 7, 2))

    assert transport.requests[0].reply_limit_bytes == 2 * 1024 * 1024
