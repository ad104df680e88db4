"""Wrong input gets its problem. It writes no row and causes no call to FeexPay.

These tests have no gateway, so a call fails them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from shop.models import CoinPack

from django_feexpay.models import Provider
from tests.api.caller import Caller, assert_problem, initiate_body, row_counts
from tests.conftest import Configure

pytestmark = pytest.mark.django_db

ARABIC_PHONE = "".join(chr(0x660 + int(digit)) for digit in "0161000050")


def with_metadata(written: str) -> bytes:
    return b'{"provider":"mtn_bj","amount":5000,"phone":"0161000050","metadata":' + written.encode() + b"}"


FIELDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("amount missing", {"amount": None}, "amount", "required"),
    ("amount as text", {"amount": "5000"}, "amount", "not_an_integer"),
    ("amount as float", {"amount": 5000.5}, "amount", "not_an_integer"),
    ("amount as whole float", {"amount": 5.0}, "amount", "not_an_integer"),
    ("amount true", {"amount": True}, "amount", "not_an_integer"),
    ("amount list", {"amount": [5000]}, "amount", "not_an_integer"),
    ("amount object", {"amount": {"value": 5000}}, "amount", "not_an_integer"),
    ("amount negative", {"amount": -5000}, "amount", "min_value"),
    ("amount zero", {"amount": 0}, "amount", "min_value"),
    ("amount below the provider's", {"amount": 99}, "amount", "min_value"),
    ("amount above the provider's", {"amount": 2_000_001}, "amount", "max_value"),
    ("amount beyond the column", {"amount": 2**63}, "amount", "max_value"),
    ("amount of 4 000 digits", {"amount": 10**3999}, "amount", "max_value"),
    ("phone missing", {"phone": None}, "phone", "required"),
    ("phone empty", {"phone": ""}, "phone", "required"),
    ("phone as number", {"phone": 161000050}, "phone", "not_a_string"),
    ("phone in Arabic digits", {"phone": ARABIC_PHONE}, "phone", "invalid"),
    ("phone with a line break", {"phone": "0161000050\n"}, "phone", "invalid"),
    ("phone too short", {"phone": "0161"}, "phone", "wrong_length"),
    ("phone of another country", {"phone": "+225 07 00 00 00 00"}, "phone", "wrong_country"),
    ("phone much too long", {"phone": "0" * 41}, "phone", "max_length"),
    ("provider missing", {"provider": None}, "provider", "required"),
    ("provider unknown", {"provider": "nobody"}, "provider", "unknown"),
    ("provider as number", {"provider": 1}, "provider", "not_a_string"),
    ("currency of another country", {"currency": "XAF"}, "currency", "unsupported"),
    ("currency too long", {"currency": "XOFF"}, "currency", "max_length"),
    ("status sent along", {"status": "successful"}, "status", "unknown"),
    ("user sent along", {"user": 2}, "user", "unknown"),
    ("fee sent along", {"fee": 0}, "fee", "unknown"),
    ("merchant_reference too long", {"merchant_reference": "x" * 65}, "merchant_reference", "max_length"),
    ("description too long", {"description": "x" * 141}, "description", "max_length"),
    ("otp too long", {"otp": "1" * 17}, "otp", "max_length"),
    ("return_url too long", {"return_url": "https://testserver/" + "x" * 482}, "return_url", "max_length"),
    ("first_name too long", {"first_name": "x" * 101}, "first_name", "max_length"),
    ("email too long", {"email": "x" * 243 + "@example.com"}, "email", "max_length"),
    ("email without a host", {"email": "ama"}, "email", "invalid"),
    ("metadata a list", {"metadata": ["pack"]}, "metadata", "not_an_object"),
    ("metadata a text", {"metadata": "pack"}, "metadata", "not_an_object"),
    ("metadata over 2 kB", {"metadata": {"note": "x" * 2038}}, "metadata", "too_large"),
    ("return to a script", {"return_url": "javascript:alert(1)"}, "return_url", "not_allowed"),
    ("return in clear text", {"return_url": "http://testserver/paid"}, "return_url", "not_allowed"),
    ("return elsewhere", {"return_url": "https://evil.example/paid"}, "return_url", "not_allowed"),
    ("return to a similar host", {"return_url": "https://testserver.evil.example/"}, "return_url", "not_allowed"),
    ("return with a user", {"return_url": "https://testserver@evil.example/"}, "return_url", "not_allowed"),
    ("return with userinfo", {"return_url": "https://ama:x@testserver/"}, "return_url", "not_allowed"),
    ("return without a scheme", {"return_url": "//testserver/paid"}, "return_url", "not_allowed"),
    ("return to a broken host", {"return_url": "https://[::1"}, "return_url", "not_allowed"),
    ("cancel elsewhere", {"cancel_url": "https://evil.example/"}, "cancel_url", "not_allowed"),
]

BODIES: list[tuple[str, bytes, int, str]] = [
    ("empty", b"", 400, "validation_error"),
    ("spaces", b"  ", 400, "malformed_request"),
    ("cut off", b'{"provider":"mtn_bj"', 400, "malformed_request"),
    ("list", json.dumps([initiate_body()]).encode(), 400, "malformed_request"),
    ("text", b'"mtn_bj"', 400, "malformed_request"),
    ("null", b"null", 400, "malformed_request"),
    ("two objects", b"{} {}", 400, "malformed_request"),
    ("key twice", b'{"provider":"mtn_bj","amount":100,"amount":1,"phone":"0161000050"}', 400, "malformed_request"),
    ("key twice inside", with_metadata('{"a":1,"a":2}'), 400, "malformed_request"),
    ("64 kB and one", b"{" + b" " * (64 * 1024 - 1) + b"}", 413, "payload_too_large"),
    ("3 MB", b"{" + b" " * 3_000_000 + b"}", 413, "payload_too_large"),
    ("33 deep", with_metadata("[" * 32 + "]" * 32), 400, "malformed_request"),
    ("30 000 deep", b"[" * 30_000, 400, "malformed_request"),
    ("100 000 deep", b"[" * 100_000, 413, "payload_too_large"),
    ("NUL in a value", with_metadata('{"a":"\\u0000"}'), 400, "malformed_request"),
    ("NUL in a key", with_metadata('{"\\u0000":1}'), 400, "malformed_request"),
    ("NUL as a byte", b'{"provider":"mtn_bj\x00"}', 400, "malformed_request"),
    ("incomplete character", b'{"provider":"\\ud800"}', 400, "malformed_request"),
    ("incomplete character in a key", with_metadata('{"\\udfff":1}'), 400, "malformed_request"),
    ("incomplete character nested", with_metadata('{"a":[{"b":["\\ud83d"]}]}'), 400, "malformed_request"),
    ("byte-order mark", b"\xef\xbb\xbf" + json.dumps(initiate_body()).encode(), 400, "malformed_request"),
    ("UTF-16", json.dumps(initiate_body()).encode("utf-16"), 400, "malformed_request"),
    ("UTF-16 without a mark", json.dumps(initiate_body()).encode("utf-16-le"), 400, "malformed_request"),
    ("Latin-1", '{"description":"café"}'.encode("latin-1"), 400, "malformed_request"),
    ("NaN", b'{"provider":"mtn_bj","amount":NaN}', 400, "malformed_request"),
    ("Infinity", b'{"provider":"mtn_bj","amount":-Infinity}', 400, "malformed_request"),
    ("float beyond all floats", with_metadata('{"a":1e400}'), 400, "malformed_request"),
    ("integer of 5 000 digits", b'{"provider":"mtn_bj","amount":' + b"9" * 5000 + b"}", 400, "malformed_request"),
]


@pytest.mark.parametrize(("changes", "field", "error"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_initiate_names_the_wrong_field(caller: Caller, changes: dict[str, Any], field: str, error: str) -> None:
    before = row_counts()

    body = assert_problem(caller.initiate(**changes), 400, "validation_error", field=field)

    assert body["errors"][0]["code"] == error
    assert row_counts() == before


@pytest.mark.parametrize("field", ["amount", "phone", "metadata", "description", "return_url"])
def test_initiate_refuses_null(caller: Caller, field: str) -> None:
    response = caller.post("initiate/", initiate_body() | {field: None})

    assert assert_problem(response, 400, "validation_error", field=field)["errors"][0]["code"] == "null"


@pytest.mark.parametrize(("raw", "status", "code"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_initiate_refuses_a_malformed_body(caller: Caller, raw: bytes, status: int, code: str) -> None:
    before = row_counts()

    assert_problem(caller.post("initiate/", raw), status, code)

    assert row_counts() == before


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense", ""],
)
def test_initiate_refuses_other_media_types(caller: Caller, content_type: str) -> None:
    before = row_counts()

    response = caller.post("initiate/", initiate_body(), content_type=content_type)

    assert_problem(response, 415, "unsupported_media_type")
    assert row_counts() == before


@pytest.mark.parametrize("code", ["mtn_cm", "mtn_sn", "amex", "unionpay", "bank_transfer"])
def test_initiate_refuses_a_provider_feexpay_does_not_serve(caller: Caller, code: str) -> None:
    before = row_counts()

    body = assert_problem(caller.initiate(provider=code), 422, "provider_unavailable")

    assert body["detail"] == Provider.objects.get(pk=code).spec.unavailable_text_en
    assert row_counts() == before


def test_initiate_refuses_a_provider_that_was_switched_off(caller: Caller) -> None:
    Provider.objects.filter(pk="mtn_bj").update(enabled=False, disabled_reason="Back at noon.")
    before = row_counts()

    assert assert_problem(caller.initiate(), 422, "provider_unavailable")["detail"] == "Back at noon."

    assert row_counts() == before


@pytest.mark.parametrize("key", ["x" * 256, "cl\u00e9", "a\tb", "a\x7fb"])
def test_idempotency_key_is_short_printable_ascii(caller: Caller, key: str) -> None:
    before = row_counts()

    response = caller.post("initiate/", initiate_body(), headers={"Idempotency-Key": key})

    assert_problem(response, 400, "validation_error", field="Idempotency-Key")
    assert row_counts() == before


def test_idempotency_key_is_required_by_the_setting(caller: Caller, configure: Configure) -> None:
    configure(REQUIRE_IDEMPOTENCY_KEY=True)

    body = assert_problem(caller.initiate(), 400, "validation_error", field="Idempotency-Key")

    assert body["errors"][0]["code"] == "required"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"amount": 4999, "metadata": {"pack": "test-pack"}}, "wrong_price"),
        ({"amount": 5001, "metadata": {"pack": "test-pack"}}, "wrong_price"),
        ({"metadata": {"pack": "no-such-pack"}}, "not_payable"),
        ({"metadata": {"pack": ["test-pack"]}}, "not_payable"),
    ],
)
def test_price_must_match_the_shop(caller: Caller, configure: Configure, changes: dict[str, Any], error: str) -> None:
    configure(PAYABLE="shop.orders.Orders")
    CoinPack.objects.create(code="test-pack", name="Test", coins=500, price=5000)
    before = row_counts()

    body = assert_problem(caller.initiate(**changes), 400, "validation_error", field="amount")

    assert body["errors"][0]["code"] == error
    assert row_counts() == before


def test_messages_are_in_the_language_of_the_request(caller: Caller) -> None:
    def words(language: str) -> tuple[object, object]:
        response = caller.initiate(phone=None, headers={"Accept-Language": language})
        body = assert_problem(response, 400, "validation_error")
        return body["title"], body["errors"][0]["message"]

    assert words("en") == ("Some values are not valid", "This field is required.")
    assert words("fr") == ("Certaines valeurs ne sont pas valables", "Ce champ est obligatoire.")


@pytest.mark.parametrize("token", ["\u00ff\u00fe", "x", "", "a b", "Bearer"])
def test_malformed_credentials_are_refused(token: str) -> None:
    response = Caller().get("history/", headers={"Authorization": f"Bearer {token}"})

    assert_problem(response, 401, "not_authenticated")


def test_inactive_user_is_refused(player: User) -> None:
    caller = Caller(player)
    User.objects.filter(pk=player.pk).update(is_active=False)

    assert_problem(caller.get("history/"), 401, "not_authenticated")


def test_body_without_content_length_is_refused_and_not_read_as_empty(caller: Caller) -> None:
    response = caller.post("initiate/", b"", headers={"Transfer-Encoding": "chunked", "Content-Length": ""})

    assert_problem(response, 400, "malformed_request")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("history/", {"amount_min": ["1", "100"]}),
        ("history/export/", {"format": "csv", "status": ["pending", "failed"]}),
        ("providers/", {"country": ["BJ", "TG"]}),
        ("quote/", {"provider": "mtn_bj", "amount": ["100", "5000"]}),
    ],
)
def test_repeated_query_parameter_is_refused(caller: Caller, path: str, query: dict[str, Any]) -> None:
    [field] = [name for name, value in query.items() if isinstance(value, list)]

    body = assert_problem(caller.get(path, **query), 400, "validation_error", field=field)

    assert body["errors"][0]["code"] == "repeated"
