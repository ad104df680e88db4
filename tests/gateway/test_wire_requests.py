"""The exact request for each provider, as FeexPay's documentation and its integrators show it.

The table was typed independently of the catalogue, so that a mistake there shows up here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_feexpay.catalogue import providers
from django_feexpay.catalogue.phone import parse
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.errors import MisconfiguredError, NotSentError, OutcomeUnknownError, RefusedError
from django_feexpay.gateway.reports import HostedPage
from django_feexpay.gateway.request_bodies import PageRequest
from tests.gateway.canned import ATTEMPT, KEY, REFERENCE, SHOP, CannedTransport, attempt, gateway_that_answers
from tests.gateway.test_client import BASE, asked, body_of, gateway_over

URLS = {"return_url": "https://shop.example/back", "cancel_url": "https://shop.example/no"}
OTP = {"otp": "123456"}

# provider: (path, number as the payer types it, number on the wire, which of code and return URLs are sent)
COLLECTS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "mtn_bj": ("mtn", "01 97 00 00 50", "2290197000050", {}),
    "moov_bj": ("moov", "01 95 00 00 50", "2290195000050", {}),
    "celtiis_bj": ("celtiis_bj", "01 40 00 00 50", "2290140000050", {}),
    "coris_bj": ("coris", "+229 01 97 00 00 50", "2290197000050", OTP),
    "togocom_tg": ("togocom_tg", "90 00 00 50", "22890000050", {}),
    "moov_tg": ("moov_tg", "96 00 00 50", "22896000050", {}),
    "mtn_ci": ("mtn_ci", "05 00 00 00 50", "2250500000050", {}),
    "moov_ci": ("moov_ci", "01 00 00 00 50", "2250100000050", URLS),
    "orange_ci": ("orange_ci", "07 00 00 00 50", "2250700000050", URLS | OTP),
    "wave_ci": ("wave_ci", "07 00 00 00 50", "2250700000050", URLS),
    "orange_sn": ("orange_sn", "77 000 00 50", "221770000050", URLS | OTP),
    "free_sn": ("free_sn", "76 000 00 50", "221760000050", URLS),
    "wave_sn": ("wave_sn", "77 000 00 50", "221770000050", URLS),
    "moov_bf": ("moov_bf", "70 00 00 50", "22670000050", URLS),
    "orange_bf": ("orange_bf", "74 00 00 50", "22674000050", URLS | OTP),
    "wave_bf": ("wave_bf", "70 00 00 50", "22670000050", URLS),
    "orange_ml": ("orange_ml", "70 00 00 50", "22370000050", URLS),
    "mobicash_ml": ("mobicash_ml", "60 00 00 50", "22360000050", {}),
    "mtn_cg": ("mtn_cg", "06 000 00 50", "242060000050", {}),
}
PAGES = ("visa", "mastercard")


def test_every_served_provider_is_here() -> None:
    assert {code for code, spec in CATALOGUE.items() if spec.served} == {*COLLECTS, *PAGES}


@pytest.mark.parametrize("code", COLLECTS)
def test_collect_matches_the_documentation(code: str) -> None:
    suffix, written, on_the_wire, more = COLLECTS[code]
    transport = CannedTransport(202, {"reference": REFERENCE, "status": "PENDING"})
    rule = CATALOGUE[code].phone
    assert rule is not None

    names = {"first_name": "Ama", "last_name": "Koné", "email": "ama@example.com"}
    request = attempt(code, msisdn=parse(written, rule), description="100 pièces – été", **URLS, **OTP, **names)
    gateway_over(transport).collect(request)

    sent = asked(transport)
    assert (sent.method, sent.url) == ("POST", f"{BASE}/transactions/public/requesttopay/{suffix}")
    assert sent.headers["Authorization"] == f"Bearer {KEY}"
    assert body_of(sent) == {
        "phoneNumber": on_the_wire,
        "amount": 5000,
        "shop": SHOP,
        "callback_info": ATTEMPT,
        "description": "100 pieces ete",
        **names,
        **more,
    }


def test_second_collect_repeats_the_first_with_the_code() -> None:
    transport = CannedTransport(201, {"reference": REFERENCE})
    gateway = gateway_over(transport)

    first = gateway.collect(attempt("coris_bj"))
    second = gateway.collect(attempt("coris_bj", otp="123456"))

    without, with_code = (json.loads(request.body or b"") for request in transport.asked)
    assert with_code == without | {"otp": "123456"}
    assert (first.otp_required, second.otp_required) == (True, False)


def test_flow_chosen_by_the_shop_decides_if_a_code_is_required() -> None:
    gateway = gateway_that_answers(201, {"reference": REFERENCE})

    assert not gateway.collect(attempt(providers.with_flow("coris_bj", "push"))).otp_required
    assert not gateway.collect(attempt(providers.with_flow("orange_sn", "otp"))).otp_required


# --- the page for cards ------------------------------------------------------------------------------


def page_request(code: str = "visa", **changed: Any) -> PageRequest:
    facts = {"provider": CATALOGUE[code], "amount": 5000, "attempt_id": ATTEMPT, "minutes": 14}
    return PageRequest(**(facts | changed))


@pytest.mark.parametrize("code", PAGES)
def test_page_request_matches_the_documentation(code: str) -> None:
    transport = CannedTransport(201, {"urlPay": "https://link.feexpay.me/abcd1234/coins"})

    page = gateway_over(transport).open_page(page_request(code, description="100 pièces", **URLS))

    sent = asked(transport)
    assert page == HostedPage("https://link.feexpay.me/abcd1234/coins")
    assert (sent.method, sent.url) == ("POST", f"{BASE}/feexlinks/generate")
    assert body_of(sent) == {
        "shop": SHOP,
        "amount": 5000,
        "description": "100 pieces",
        "paymentMethod": "CARD",
        "range": 1,
        "expireIn": 14,
        "custom_id": ATTEMPT,
        "callback_url": URLS["return_url"],
        "callback_error": URLS["cancel_url"],
    }


def test_page_request_without_return_urls_contains_none() -> None:
    transport = CannedTransport(201, {"data": {"urlPay": "https://link.feexpay.me/abcd1234/x"}})

    gateway_over(transport).open_page(page_request())

    assert set(body_of(asked(transport))) == {"shop", "amount", "paymentMethod", "range", "expireIn", "custom_id"}


@pytest.mark.parametrize("code", ["mtn_bj", "amex", "bank_transfer"])
def test_provider_without_a_page_is_refused_before_anything_is_sent(code: str) -> None:
    transport = CannedTransport(201, {"urlPay": "https://link.feexpay.me/abcd1234/x"})

    with pytest.raises(RefusedError) as refused:
        gateway_over(transport).open_page(page_request(code))

    assert (refused.value.code, transport.asked) == ("provider_unavailable", [])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {}),
        (200, []),
        (200, b"<html>"),
        (201, {"urlPay": None}),
        (201, {"urlPay": ["https://link.feexpay.me/x"]}),
        (201, {"urlPay": "https://user:pw@link.feexpay.me/x"}),
        (201, {"urlPay": "http://link.feexpay.me/in-clear"}),
        (201, {"urlPay": "javascript:alert(1)"}),
        (302, {"urlPay": "https://link.feexpay.me/x"}),
        (409, {"message": "busy"}),
        (429, {"code": "RATE_LIMIT_EXCEEDED", "message": "slow down"}),
        (500, {"message": "oops"}),
        (502, b"<html>"),
    ],
)
def test_page_that_was_not_created_may_be_requested_again(status: int, body: object) -> None:
    with pytest.raises(NotSentError):
        gateway_that_answers(status, body).open_page(page_request())


def test_failed_page_request_keeps_the_wait_of_feexpay() -> None:
    with pytest.raises(NotSentError) as caught:
        gateway_that_answers(429, b"", {"retry-after": "9"}).open_page(page_request())

    assert (caught.value.code, caught.value.retry_after_seconds) == ("no_page", 9)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, {"reference": "ref-1"}),
        (201, {"data": {"reference": "ref-1", "urlPay": "http://link.feexpay.me/in-clear"}}),
        (400, {"message": "Validation failed", "reference": "ref-1"}),
        (429, {"code": "RATE_LIMIT_EXCEEDED", "data": {"status": "SUCCESSFUL"}}),
        (500, {"message": "oops", "transref": "ref-1"}),
    ],
)
def test_reply_to_a_page_request_that_names_a_payment_is_unknown(status: int, body: object) -> None:
    with pytest.raises(OutcomeUnknownError) as caught:
        gateway_that_answers(status, body).open_page(page_request())

    assert caught.value.code == "payment_named"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (503, {"statusCode": 503, "code": "NETWORK_UNAVAILABLE", "message": "x"}, "network_unavailable"),
        (410, {"statusCode": 410, "code": "FEEXLINK_EXPIRED", "message": "Expired"}, "expired"),
        (404, {"statusCode": 404, "code": "FEEXLINK_NOT_FOUND", "message": "Not found"}, "provider_unavailable"),
        (400, {"statusCode": 400, "message": "FeexLink is not active"}, "provider_unavailable"),
        (400, {"statusCode": 400, "message": "Usage limit reached"}, "provider_unavailable"),
        (400, {"statusCode": 400, "code": "NETWORK_UNAVAILABLE", "message": "x"}, "network_unavailable"),
        (404, {"statusCode": 404, "message": "CARD channel not configured"}, "provider_not_activated"),
    ],
)
def test_page_that_feexpay_refuses_is_refused(status: int, body: object, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        gateway_that_answers(status, body).open_page(page_request())

    assert refused.value.code == code


def test_page_request_of_an_unknown_shop_is_misconfigured() -> None:
    with pytest.raises(MisconfiguredError):
        gateway_that_answers(404, {"statusCode": 404, "message": "Shop not found"}).open_page(page_request())


# --- pages for payers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://pay.example/1", True),
        ("http://127.0.0.1:8801/pay/1", True),
        ("http://localhost/pay/1", True),
        ("http://feexpay.test/pay/1", True),  # an INSECURE_HOST
        ("http://pay.example/1", False),
        ("https://user@pay.example/1", False),
        ("ftp://pay.example/1", False),
        ("//pay.example/1", False),
    ],
)
def test_payer_is_redirected_only_over_https_or_to_insecure_hosts(url: str, sent: bool) -> None:
    body = {"reference": REFERENCE, "status": "PENDING", "payment_url": url}
    transport = CannedTransport(200, body)

    gateway = gateway_over(transport, insecure_hosts=["feexpay.test"], sandbox_allowed=True)
    accepted = gateway.collect(attempt("wave_ci"))

    assert (accepted.reference, accepted.redirect_url) == (REFERENCE, url if sent else None)
