"""The table of gateway replies: what each one means for the money."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS, REASON_CODES, Word
from django_feexpay.gateway import refusals
from django_feexpay.gateway.errors import (
    GatewayError,
    MisconfiguredError,
    OutcomeUnknownError,
    RefusedError,
)
from django_feexpay.gateway.refusals import refusal_of_payout
from django_feexpay.gateway.reports import Accepted
from tests.gateway.fixed_reply import REFERENCE, attempt, gateway_that_answers

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def nest(message: str, status: int, error: str = "Not Found") -> dict[str, object]:
    """The error body of FeexPay's framework."""
    return {"message": message, "error": error, "statusCode": status}


def error_of_collect(status: int, body: object, headers: dict[str, str] | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        gateway_that_answers(status, body, headers).collect(attempt())
    return caught.value


def error_of_status(status: int, body: object, headers: dict[str, str] | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        gateway_that_answers(status, body, headers).fetch_status(REFERENCE)
    return caught.value


# --- collect: accepted ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("PENDING", Word.PENDING),
        ("SUCCESSFUL", Word.SUCCESSFUL),
        ("FAILED", Word.FAILED),
        ("NEW WORD", Word.UNKNOWN),
        (None, Word.UNKNOWN),
    ],
)
def test_any_success_code_with_a_reference_is_accepted(status: int, word: str | None, ours: Word) -> None:
    accepted = gateway_that_answers(status, {"reference": REFERENCE, "status": word}).collect(attempt())

    assert (accepted.reference, accepted.word) == (REFERENCE, ours)


def test_two_step_provider_waits_for_the_code() -> None:
    gateway = gateway_that_answers(201, {"reference": REFERENCE})

    assert gateway.collect(attempt("coris_bj")).otp_required is True
    assert gateway.collect(attempt("coris_bj", otp="123456")).otp_required is False
    assert gateway.collect(attempt("orange_bf", otp="123456")).otp_required is False
    assert gateway.collect(attempt("mtn_bj")).otp_required is False


def test_payment_url_wins_over_the_flow_of_the_catalogue() -> None:
    gateway = gateway_that_answers(
        200, {"reference": REFERENCE, "status": "PENDING", "payment_url": "https://pay.example/1"}
    )

    assert gateway.collect(attempt("orange_ml")) == Accepted(
        reference=REFERENCE, word=Word.PENDING, redirect_url="https://pay.example/1"
    )


# --- collect: unknown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, HTML),
        (200, b'{"reference": "0a1b2c3d-1111'),
        (200, []),
        (200, [{"reference": REFERENCE}]),
        (200, {}),
        (200, {"status": "SUCCESSFUL"}),
        (200, {"reference": "a/b"}),
        (200, {"success": False, "message": "refused"}),
        (202, {"status": "FAILED", "message": "no"}),
        (204, b""),
        (301, {"message": "moved"}),
        (302, {"reference": REFERENCE}),
        (400, HTML),
        (400, b""),
        (400, []),
        (400, {}),
        (400, {"error": "something"}),
        (400, {"message": 5}),
        (400, {"message": []}),
        (400, {"message": "late", "reference": REFERENCE}),
        (401, HTML),
        (403, b"blocked by the firewall"),
        (404, HTML),
        (408, {"message": "timeout"}),
        (409, {"message": "conflict"}),
        (409, {"code": "ERR_DUPLICATE_TRANSACTION", "message": "identical"}),
        (400, {"code": "ERR_DUPLICATE_TRANSACTION", "message": "identical"}),
        (400, {"code": " err_duplicate_transaction "}),
        (500, {"code": "ERR_TRANSACTION_FAILED", "message": "failed"}),
        (500, {"message": "Internal server error", "statusCode": 500}),
        (502, HTML),
        (502, {"message": "provider error"}),
        (503, HTML),
        (503, b""),
        (503, {"message": "maintenance"}),
        (503, {"code": "NETWORK_UNAVAILABLE", "data": {"reference": REFERENCE}}),
        (504, {"code": "NETWORK_UNAVAILABLE", "message": "timeout"}),
        (500, {"code": "UNAUTHORIZED", "message": "Unauthorized"}),
        (600, {"message": "?"}),
    ],
)
def test_reply_that_may_hide_a_charge_is_unknown(status: int, body: object) -> None:
    assert type(error_of_collect(status, body)) is OutcomeUnknownError


# --- collect: unknown, and why --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), (" 30 ", 30), ("0", 0), ("86400", 3600), ("", None), ("soon", None), ("-5", None), ("1.5", None)],
)
def test_too_many_requests_is_unknown_and_keeps_the_wait(header: str, seconds: int | None) -> None:
    error = error_of_collect(429, {"code": "RATE_LIMIT_EXCEEDED"}, {"retry-after": header})

    assert type(error) is OutcomeUnknownError
    assert (error.code, error.retry_after_seconds) == ("rate_limited", seconds)


def test_too_many_requests_needs_no_json() -> None:
    error = error_of_collect(429, HTML)

    assert type(error) is OutcomeUnknownError
    assert (error.code, error.retry_after_seconds) == ("rate_limited", None)


@pytest.mark.parametrize("code", ["NETWORK_UNAVAILABLE", "ERR_NETWORK_UNAVAILABLE", " network_unavailable "])
def test_operator_in_maintenance_is_unknown(code: str) -> None:
    error = error_of_collect(503, {"code": code, "message": "maintenance"}, {"retry-after": "60"})

    assert type(error) is OutcomeUnknownError
    assert (error.code, error.retry_after_seconds) == ("network_unavailable", 60)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "body",
    [
        {"reference": REFERENCE},
        {"reference": "a/b"},  # an unusable reference names a payment, too
        {"transref": REFERENCE},
        {"order_id": 17},
        {"transaction_id": REFERENCE},
        {"data": {"reference": REFERENCE}},
        {"data": {"data": {"data": {"order_id": REFERENCE}}}},
        {"status": "PENDING"},
        {"status": "in  pending state"},
        {"status": "SUCCESSFUL"},
        {"status": "Success"},
        {"status": "FAILED"},
        {"status": "TIMEOUT"},
        {"status": " cancelled "},
        {"status": "EXPIRED", "data": {}},
        {"reference": REFERENCE, "data": {"statusCode": 400}},
        {"status": 400, "data": {"status": "SUCCESSFUL"}},
    ],
)
def test_reply_that_names_a_payment_is_unknown_with_any_status(status: int, body: dict[str, object]) -> None:
    answer = {"message": "Validation failed", "code": "UNAUTHORIZED"} | body
    error = error_of_collect(status, answer, {"retry-after": "9"})

    assert type(error) is OutcomeUnknownError
    assert (error.code, error.retry_after_seconds) == ("payment_named", 9)


@pytest.mark.parametrize(
    "more",
    [
        {"status": 400},
        {"status": "error"},
        {"status": "400"},
        {"status": ["SUCCESSFUL"]},
        {"reference": ""},
        {"reference": None},
        {"reference": True},
        {"data": None},
        {"data": []},
        {"data": "SUCCESSFUL"},
        {"errors": [{"property": "reference"}]},
    ],
)
def test_error_body_that_names_no_payment_is_a_refusal(more: dict[str, object]) -> None:
    error = error_of_collect(400, {"statusCode": 400, "message": "Validation failed"} | more)

    assert type(error) is RefusedError


DUPLICATE_KEYS = [
    b'{"reference": "ref-1", "reference": "ref-2", "status": "PENDING"}',
    b'{"reference": "ref-1", "status": "PENDING", "status": "SUCCESSFUL"}',
    b'{"success": true, "data": {"reference": "ref-1", "status": "FAILED", "status": "SUCCESSFUL"}}',
    b'{"reference": "ref-1", "status": "PENDING", "extra": [{"a": 1, "a": 1}]}',
    b'{"reference": "ref-1", "status": "PENDING", "st\\u0061tus": "SUCCESSFUL"}',
]


@pytest.mark.parametrize("raw", DUPLICATE_KEYS)
@pytest.mark.parametrize("status", [200, 202, 400, 401, 429, 503])
def test_duplicate_key_in_the_reply_to_collect_is_unknown(status: int, raw: bytes) -> None:
    assert type(error_of_collect(status, raw)) is OutcomeUnknownError


@pytest.mark.parametrize("raw", [*DUPLICATE_KEYS, b'{"code": "NOT_FOUND", "code": "NOT_FOUND"}'])
@pytest.mark.parametrize("status", [200, 404])
def test_duplicate_key_in_a_status_is_unknown(status: int, raw: bytes) -> None:
    assert type(error_of_status(status, raw)) is OutcomeUnknownError


@pytest.mark.parametrize(
    "raw",
    [
        b'{"success": true, "total": 0, "total": 1, "data": []}',
        b'{"success": true, "total": 1, "data": [{"reference": "r", "status": "FAILED", "status": "SUCCESSFUL"}]}',
        b'{"success": true, "total": 0, "data": [], "data": []}',
    ],
)
def test_duplicate_key_in_history_is_unknown(raw: bytes) -> None:
    with pytest.raises(OutcomeUnknownError):
        gateway_that_answers(200, raw).search_history(date(2026, 7, 1), date(2026, 7, 1))


# --- collect: refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"message": "Validation failed", "errors": [{"property": "amount"}]}, "invalid_amount"),
        (400, {"message": "Validation failed", "errors": [{"property": "phoneNumber"}]}, "invalid_phone"),
        (400, {"message": "Validation failed", "errors": [{"property": "otp"}]}, "otp_rejected"),
        (400, {"message": "Validation failed", "errors": [{"property": "description"}]}, "invalid_request"),
        (400, {"message": "Validation failed", "errors": {"property": "amount"}}, "invalid_amount"),
        (400, {"message": "Validation failed", "errors": ["?", None, {"property": 5}]}, "invalid_request"),
        (400, {"message": "Validation failed"}, "invalid_request"),
        (400, {"message": ["amount must be an integer number"], "errors": [{"property": "amount"}]}, "invalid_amount"),
        (400, {"code": "ERR_INVALID_PHONE_NUMBER"}, "invalid_phone"),
        (400, {"code": "ERR_INVALID_AMOUNT", "message": "?"}, "invalid_amount"),
        (400, {"code": "ERR_INSUFFICIENT_BALANCE", "message": "?"}, "low_balance"),
        (400, {"code": "ERR_TRANSACTION_FAILED", "message": "?"}, "operator_error"),
        (400, {"code": "NETWORK_UNAVAILABLE", "message": "not supported"}, "network_unavailable"),
        (400, nest("Celtiis BJ API Error", 400, "Bad Request"), "operator_error"),
        (400, nest("PAYER_NOT_FOUND", 400, "Bad Request"), "payer_not_found"),
        (400, nest("something new", 400, "Bad Request"), "unknown_reason"),
        (403, {"code": "ACCESS_DENIED", "message": "country blocked"}, "provider_not_activated"),
        (404, nest("MTN channel not configured", 404), "provider_not_activated"),
        (422, {"message": "no"}, "unknown_reason"),
        (410, {"code": "FEEXLINK_EXPIRED", "message": "expired"}, "expired"),
    ],
)
def test_documented_refusal_is_final(status: int, body: object, code: str) -> None:
    error = error_of_collect(status, body)

    assert type(error) is RefusedError
    assert error.code == code
    assert code in REASON_CODES


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"statusCode": 400, "message": "Bad Request"}),
        (404, nest("Not Found", 404)),
        (404, nest("Transaction not found", 404)),
        (403, nest("Forbidden resource", 403)),
        (422, {"message": "no"}),
        (400, {"code": "ERR_TRANSACTION_FAILED", "message": "?"}),
        (400, nest("Celtiis BJ API Error", 400, "Bad Request")),
        (400, {"message": "APPROVAL_REJECTED"}),
        (400, {"message": "EXPIRED"}),
    ],
)
def test_refusal_that_no_source_names_may_hide_a_charge(status: int, body: object) -> None:
    error = error_of_collect(status, body)

    assert type(error) is RefusedError
    assert error.code in DOUBTFUL_REFUSALS


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Validation failed"},
        {"message": "x", "errors": [{"property": "amount"}]},
        {"message": "MTN channel not configured"},
        {"message": "MTN Channel Not Configured"},
        {"code": "ACCESS_DENIED"},
        {"code": "NETWORK_UNAVAILABLE"},
        {"code": "ERR_INVALID_PHONE_NUMBER"},
        {"code": "ERR_INVALID_AMOUNT"},
        {"code": "ERR_INSUFFICIENT_BALANCE"},
        {"message": "PAYER NOT FOUND"},
        {"message": "SENDER_ACCOUNT_NOT_ACTIVE"},
        {"code": "FEEXLINK_NOT_FOUND", "message": "?"},
        {"message": "Usage limit reached"},
    ],
)
def test_refusal_that_a_source_names_hides_no_charge(body: object) -> None:
    error = error_of_collect(400, body)

    assert type(error) is RefusedError
    assert error.code in REASON_CODES - DOUBTFUL_REFUSALS


def test_refusal_keeps_the_text_of_feexpay_without_numbers() -> None:
    error = error_of_collect(400, {"message": ["phone 2290197000050", "is wrong"]})

    assert isinstance(error, RefusedError)
    assert error.text == "phone ••• is wrong"
    assert "2290197000050" not in repr(error)


@pytest.mark.parametrize("code", ["visa", "mastercard", "mtn_cm", "bank_transfer"])
def test_provider_without_an_endpoint_is_refused_before_anything_is_sent(code: str) -> None:
    gateway = gateway_that_answers(200, {"reference": REFERENCE})

    with pytest.raises(RefusedError) as caught:
        gateway.collect(attempt(code))

    assert caught.value.code == "provider_unavailable"


# --- collect: misconfigured -----------------------------------------------------------------------


MISCONFIGURED = [
    (401, {"success": False, "code": "UNAUTHORIZED", "message": "Unauthorized", "statusCode": 401}, "invalid_api_key"),
    (401, {"message": "?"}, "invalid_api_key"),
    (403, {"code": "ERR_INVALID_API_KEY"}, "invalid_api_key"),
    (403, {"code": "IP_NOT_ALLOWED", "message": "your address"}, "address_not_allowed"),
    (403, {"code": "ERR_IP_NOT_AUTHORIZED"}, "address_not_allowed"),
    (403, {"code": "FORBIDDEN", "message": "Forbidden"}, "forbidden"),
    (404, nest("Merchant or Shop not found", 404), "unknown_shop"),
    (404, nest("Merchant not found", 404), "unknown_shop"),
    (404, nest("Shop is disabled", 404), "unknown_shop"),
    (400, nest("Shop is disabled", 400), "unknown_shop"),
    (404, nest("Shop introuvable", 404), "unknown_shop"),
    (404, {"code": "ERR_SHOP_NOT_FOUND"}, "unknown_shop"),
    (404, nest("Cannot POST /api/transactions/public/requesttopay/x", 404), "unknown_path"),
    (404, nest("Cannot GET /api/transactions/public/single/status/x", 404), "unknown_path"),
]


@pytest.mark.parametrize(("status", "body", "code"), MISCONFIGURED)
def test_wrong_setting_is_misconfigured(status: int, body: object, code: str) -> None:
    for error in (error_of_collect(status, body), error_of_status(status, body)):
        assert type(error) is MisconfiguredError
        assert error.code == code


# --- reads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"code": "NOT_FOUND", "message": "Transaction not found"}),
        (404, nest("Transaction not found", 404)),
        (404, {"code": "not_found"}),
        (200, {"success": False, "code": "NOT_FOUND", "message": "Transaction not found"}),
    ],
)
def test_unknown_reference_is_missing(status: int, body: object) -> None:
    report = gateway_that_answers(status, body).fetch_status(REFERENCE)

    assert (report.word, report.reference) == (Word.MISSING, None)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, HTML),
        (200, []),
        (200, {}),
        (200, {"message": "ok"}),
        (302, {"status": "SUCCESSFUL"}),
        (400, {"code": "MISSING_REFERENCE", "message": "Reference is required"}),
        (400, {"message": "Validation failed"}),
        (404, HTML),
        (404, nest("something else", 404)),
        (404, {"status": "SUCCESSFUL"}),
        (500, {"status": "SUCCESSFUL"}),
        (500, {"code": "NOT_FOUND"}),
        (502, HTML),
        (503, {"code": "NETWORK_UNAVAILABLE", "message": "maintenance"}),
    ],
)
def test_unusable_reply_to_a_read_is_unknown_and_never_refused(status: int, body: object) -> None:
    assert type(error_of_status(status, body)) is OutcomeUnknownError


def test_too_many_reads_are_unknown_and_keep_the_wait() -> None:
    error = error_of_status(429, HTML, {"retry-after": "4"})

    assert type(error) is OutcomeUnknownError
    assert (error.code, error.retry_after_seconds) == ("rate_limited", 4)


@pytest.mark.parametrize("body", [{}, {"success": True}, HTML, {"balances": "none"}])
def test_balance_without_balances_is_unknown(body: object) -> None:
    with pytest.raises(OutcomeUnknownError):
        gateway_that_answers(200, body).balance()


# --- the texts, which are logged -----------------------------------------------------------------

TEXTS = [
    (500, {"reference": REFERENCE}, "replied 500 and named a payment"),
    (429, HTML, "FeexPay's rate limit was reached"),
    (503, {"code": "NETWORK_UNAVAILABLE"}, "the operator is in maintenance"),
    (502, HTML, "replied 502 without a usable error body"),
    (400, {"message": "Validation failed"}, "refused with 400"),
    (401, {"message": "?"}, "FeexPay refuses the key"),
    (403, {"code": "IP_NOT_ALLOWED"}, "FeexPay does not allow our IP address"),
    (404, {"message": "Shop not found"}, "FeexPay does not know the shop, or it is disabled"),
    (404, {"message": "Cannot POST /api"}, "FeexPay has no such path"),
    (403, {"code": "FORBIDDEN"}, "FeexPay does not allow this with our key"),
]


@pytest.mark.parametrize(("status", "body", "text"), TEXTS, ids=[text for _, _, text in TEXTS])
def test_error_tells_what_happened_without_a_word_of_the_body(status: int, body: object, text: str) -> None:
    assert str(error_of_collect(status, body)) == text


def test_failed_read_tells_its_status() -> None:
    assert str(error_of_status(503, HTML)) == "replied 503 without a result"
    assert str(refusal_of_payout(400, {}, b'{"message": "Something else"}')) == (
        "replied 400 with a refusal that no source names"
    )


def test_named_refusal_of_a_payout_keeps_the_text_of_feexpay() -> None:
    error = refusal_of_payout(403, {}, b'{"code": "ERR_PAYOUT_NOT_ENABLED", "message": "payout not enabled"}')

    assert isinstance(error, RefusedError)
    assert (str(error), error.code, error.text) == ("refused with 403", "payout_not_enabled", "payout not enabled")


@pytest.mark.parametrize("status", [302, 399, 500, 503])
def test_only_a_4xx_says_that_a_setting_is_wrong(status: int) -> None:
    assert type(error_of_status(status, {"code": "UNAUTHORIZED", "message": "?"})) is OutcomeUnknownError
    assert type(error_of_status(400, {"code": "UNAUTHORIZED", "message": "?"})) is MisconfiguredError


def test_error_body_is_not_shown_in_a_report() -> None:
    body = refusals._error_body(b'{"code": "CANARY", "message": "canary", "errors": [{"property": "amount"}]}')

    assert repr(body) == "_ErrorBody(fields=(PrivateText(•••),))"


# --- any reply -----------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *("NOT_FOUND", "UNAUTHORIZED", "NETWORK_UNAVAILABLE", "ERR_DUPLICATE_TRANSACTION", "Shop is disabled"),
        *("Validation failed", "SUCCESSFUL", "FAILED", REFERENCE),
    ]
)
VALUES = st.none() | st.booleans() | st.integers() | WORDS | st.lists(WORDS, max_size=2)
ERROR_BODIES = st.dictionaries(
    st.sampled_from(["code", "message", "statusCode", "errors", "reference", "status", "data"]), VALUES
)


@given(status=st.integers(200, 599), body=ERROR_BODIES | st.lists(st.none()))
def test_every_reply_raises_one_of_our_errors_and_never_not_sent(status: int, body: object) -> None:
    outcome = outcome_of_collect(status, body)

    assert outcome in {Accepted, OutcomeUnknownError, RefusedError, MisconfiguredError}
    assert outcome is not Accepted or status < 300
    assert outcome not in (RefusedError, MisconfiguredError) or 400 <= status < 500


def outcome_of_collect(status: int, body: object) -> type:
    try:
        return type(gateway_that_answers(status, body).collect(attempt()))
    except GatewayError as error:
        return type(error)
