from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.catalogue.outcomes import REASON_CODES, REASONS, Word, same_reference
from django_feexpay.gateway.reports import (
    Accepted,
    StatusReport,
    accepted_from,
    balances_from,
    clean_text,
    hint_from,
    history_page_from,
    json_object,
    reason_code_from,
    status_report_from,
    usable_reference,
    word_from,
)

UUID = "0a1b2c3d-1111-4222-8333-444455556666"
ATTEMPT = "7d9f4a50-8d3c-4e9e-9a52-0c2b8f1d6e77"

# The reply of a push provider in FeexPay's documentation, with made-up values.
ACCEPTED = {
    "amount": 5000,
    "reference": UUID,
    "status": "PENDING",
    "message": "Accepted",
    "description": "100 coins",
    "callback_info": ATTEMPT,
    "phoneNumber": "2290197000050",
}
STATUS = {
    "reference": UUID,
    "amount": 5000,
    "phoneNumber": "2290197000050",
    "status": "SUCCESSFUL",
    "callback_info": ATTEMPT,
    "responsecode": "",
    "responsemsg": "",
    "transref": "1234567",
    "serviceref": "",
    "comment": "",
    "reason": "",
    "description": "100 coins",
    "date": "2026-07-01T10:00:00.000Z",
    "operator_id": "9876543210",
}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
WIRE_NAMES = st.sampled_from(
    [
        *("reference", "transref", "order_id", "status", "statusCode", "amount", "reason", "data", "total"),
        *("callback_info", "payment_url", "phoneNumber", "payer", "balances", "response_operator", "type"),
    ]
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(WIRE_NAMES, SCALARS, max_size=5)
BODIES = st.dictionaries(WIRE_NAMES, VALUES, max_size=8)


# --- bytes to an object ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b" ", b"{", b"[]", b"[{}]", b'"text"', b"1", b"null", b"<html></html>", b'{"a": 1} trailing'),
        *(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": "\xff"}', b"\x00", b"{'a': 1}"),
        *(b'{"a":' * 100_000, b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"),
        *('{"a": 1}'.encode("utf-16"), b'{"truncated": "te'),
    ],
)
def test_anything_but_a_json_object_is_none(raw: bytes) -> None:
    assert json_object(raw) is None


def test_json_object_is_read_with_or_without_a_byte_order_mark() -> None:
    assert json_object('{"é": 1}'.encode()) == {"é": 1}
    assert json_object(b"\xef\xbb\xbf{}") == {}


@given(raw=st.binary(max_size=200))
def test_any_bytes_are_parsed_or_none(raw: bytes) -> None:
    assert isinstance(json_object(raw), dict | None)


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ("PENDING", Word.PENDING),
        ("pending", Word.PENDING),
        ("IN PENDING STATE", Word.PENDING),
        (" in  pending state ", Word.PENDING),
        ("SUCCESSFUL", Word.SUCCESSFUL),
        ("Successful", Word.SUCCESSFUL),
        ("SUCCESS", Word.SUCCESSFUL),
        ("\tsuccess\n", Word.SUCCESSFUL),
        ("FAILED", Word.FAILED),
        ("Failed ", Word.FAILED),
    ],
)
def test_documented_words_are_known_in_any_case(raw: str, word: Word) -> None:
    assert word_from(raw) is word


@pytest.mark.parametrize(
    "raw",
    [
        *("", " ", "PAID", "SUCCESSFULL", "SUCCESSFUL!", "NOT SUCCESSFUL", "FAIL", "OK", "TRUE", "200"),
        *("CANCELLED", "CANCELED", "EXPIRED", "REJECTED", "TIMEOUT", "INSUFFICIENT_FUNDS"),
        *("\u017fuccess", "\uff33UCCESS", "SUCCESS\u00a0", "ECHEC"),
        *(None, True, 1, 200, 1.0, [], ["SUCCESSFUL"], {"status": "SUCCESSFUL"}),
    ],
)
def test_any_other_word_is_unknown(raw: object) -> None:
    assert word_from(raw) is Word.UNKNOWN


@given(raw=st.text())
def test_text_is_success_only_in_the_words_of_the_table(raw: str) -> None:
    known = raw.isascii() and " ".join(raw.upper().split()) in {"SUCCESSFUL", "SUCCESS"}

    assert (word_from(raw) is Word.SUCCESSFUL) is known


# --- references -----------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [UUID, UUID.upper(), "AG_20260701_00a1b2c3d4e5f6", "1", "x" * 100, "A.b:c~d+e=f-g_h"])
def test_reference_keeps_its_letter_case(raw: str) -> None:
    assert usable_reference(raw) == raw
    assert usable_reference(f" {raw} ") == raw


@pytest.mark.parametrize(
    "raw",
    [
        *("", " ", ".", "..", "-x", "a/b", "../a", "a\\b", "a?b", "a#b", "a%2fb", "a b", "a\n", "\na", "a\x00"),
        *("x" * 101, "é", "\ud800", None, 5, True, ["a"], {"a": 1}),
    ],
)
def test_reference_that_does_not_fit_a_path_is_none(raw: object) -> None:
    assert usable_reference(raw) is None


def test_references_compare_in_any_letter_case() -> None:
    assert same_reference(UUID, UUID.upper())
    assert not same_reference(UUID, UUID[:-1])


# --- the reply to collect ------------------------------------------------------------------------


def test_accepted_push_is_pending() -> None:
    assert accepted_from(ACCEPTED) == Accepted(reference=UUID, word=Word.PENDING)


def test_synchronous_failure_has_a_reason() -> None:
    body = {
        "reference": UUID.upper(),
        "status": "FAILED",
        "statusCode": "10",
        "response_operator": {"description": ["Solde insuffisant"], "status": ["10"]},
    }

    assert accepted_from(body) == Accepted(
        reference=UUID.upper(),
        word=Word.FAILED,
        reason_code="low_balance",
        reason_text="Solde insuffisant",
    )


def test_soap_in_the_reply_is_ignored() -> None:
    body = {
        "reference": "AG_20260701_00a1b2c3d4e5f6",
        "status": "PENDING",
        "message": "Accept the service request successfully.",
        "normal_response": "<soapenv:Envelope>...</soapenv:Envelope>",
        "response_operator": "<soapenv:Envelope>...</soapenv:Envelope>",
    }

    assert accepted_from(body) == Accepted(reference="AG_20260701_00a1b2c3d4e5f6", word=Word.PENDING)


@pytest.mark.parametrize("name", ["transref", "order_id", "transaction_id"])
def test_reference_is_found_under_its_other_names(name: str) -> None:
    found = accepted_from({name: UUID, "status": "PENDING"})
    assert found is not None
    assert found.reference == UUID


def test_field_reference_wins_over_its_other_names() -> None:
    found = accepted_from({"transref": "other", "order_id": "another", "reference": UUID})
    assert found is not None
    assert found.reference == UUID


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "SUCCESSFUL"},
        {"reference": None},
        {"reference": ""},
        {"reference": "a/b"},
        {"reference": 5},
        {"id": UUID},
        {"data": [ACCEPTED]},
        {"data": None},
        {"success": False, "message": "no"},
    ],
)
def test_reply_without_a_usable_reference_is_none(body: dict[str, object]) -> None:
    assert accepted_from(body) is None


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_reply_may_be_wrapped_in_data(depth: int) -> None:
    body: dict[str, object] = dict(ACCEPTED)
    for _ in range(depth):
        body = {"success": True, "status": "success", "data": body}

    assert accepted_from(body) == Accepted(reference=UUID, word=Word.PENDING)


def test_reply_is_unwrapped_three_times_at_most() -> None:
    body: dict[str, object] = dict(ACCEPTED)
    for _ in range(4):
        body = {"data": body}

    assert accepted_from(body) is None


def test_data_beside_a_reference_is_not_unwrapped() -> None:
    found = accepted_from({**ACCEPTED, "data": {"status": "SUCCESSFUL"}})
    assert found is not None
    assert found.word is Word.PENDING


@pytest.mark.parametrize("url", ["https://pay.example/x?y=1", "http://127.0.0.1:8000/p", " https://pay.example/ "])
def test_payment_url_means_redirect(url: str) -> None:
    found = accepted_from({**ACCEPTED, "payment_url": url}, otp_expected=True)
    assert found is not None
    assert (found.redirect_url, found.otp_required) == (url.strip(), False)


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://pay.example", "//pay.example"),
        *("/pay", "pay.example", "", " ", "https://", "https:///x", "https://[::1", "https://pay.example/a b"),
        *("https://pay.example/\n", "https://pay.exämple/", "https://pay.example/" + "x" * 2048),
        *(None, 5, True, ["https://pay.example"], {"url": "https://pay.example"}),
    ],
)
def test_payment_url_that_is_not_a_web_address_is_none(url: object) -> None:
    found = accepted_from({**ACCEPTED, "payment_url": url})
    assert found is not None
    assert found.redirect_url is None


@pytest.mark.parametrize(("status", "required"), [("PENDING", True), (None, True), ("FAILED", False)])
def test_otp_is_required_when_it_was_expected_and_nothing_failed(status: str | None, required: bool) -> None:
    found = accepted_from({"reference": UUID, "status": status}, otp_expected=True)
    assert found is not None
    assert found.otp_required is required


# --- status ---------------------------------------------------------------------------------------


def test_status_is_translated_into_our_words() -> None:
    assert status_report_from(STATUS) == StatusReport(
        word=Word.SUCCESSFUL,
        reference=UUID,
        amount=5000,
        echo=ATTEMPT,
        msisdn_ending="50",
        reason_code=None,
        reason_text="",
        raw_word="SUCCESSFUL",
    )


def test_status_in_the_older_format_is_parsed() -> None:
    body = {
        "financialTransactionId": "1234567",
        "externalId": "77",
        "amount": "5000",
        "currency": "XOF",
        "payer": {"partyIdType": "MSISDN", "partyId": "2290197000050"},
        "payerMessage": "",
        "payeeNote": "",
        "status": "FAILED",
        "reason": "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED",
    }

    assert status_report_from(body) == StatusReport(
        word=Word.FAILED,
        amount=5000,
        currency="XOF",
        msisdn_ending="50",
        reason_code="low_balance",
        reason_text="LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED",
        raw_word="FAILED",
    )


def test_body_without_a_status_is_none() -> None:
    assert status_report_from({}) is None
    assert status_report_from({"reference": UUID, "amount": 5000}) is None
    assert status_report_from({"data": {}, "status": "SUCCESSFUL"}) is None


def test_null_status_is_an_unknown_word() -> None:
    report = status_report_from({**STATUS, "status": None})
    assert report is not None
    assert (report.word, report.raw_word) == (Word.UNKNOWN, "")


@pytest.mark.parametrize(
    ("raw", "amount"),
    [
        (5000, 5000),
        (5000.0, 5000),
        ("5000", 5000),
        ("5000.0", 5000),
        ("5000.00", 5000),
        ("005000", 5000),
        (0, 0),
        (None, None),
        ("", None),
    ],
)
def test_amount_is_a_whole_number_or_absent(raw: object, amount: int | None) -> None:
    report = status_report_from({**STATUS, "amount": raw})
    assert report is not None
    assert (report.word, report.amount) == (Word.SUCCESSFUL, amount)


@pytest.mark.parametrize(
    "raw",
    [
        *("5e3", "5 000", "5,000", "5000.5", "-5000", "+5000", " 5000", "5000 ", "5000\n", "XOF 5000", "٥٠٠٠"),
        *(5000.5, -5000, -1.0, 1e300, 10**15, "9" * 16, True, False, [5000], {"value": 5000}, "NaN"),
    ],
)
def test_success_with_an_unreadable_amount_is_unknown(raw: object) -> None:
    report = status_report_from({**STATUS, "amount": raw})
    assert report is not None
    assert (report.word, report.amount, report.raw_word) == (Word.UNKNOWN, None, "SUCCESSFUL")


def test_unreadable_amount_does_not_hide_a_failure() -> None:
    report = status_report_from({**STATUS, "status": "FAILED", "amount": "?"})
    assert report is not None
    assert (report.word, report.amount) == (Word.FAILED, None)


@pytest.mark.parametrize(
    ("raw", "echo"),
    [
        (ATTEMPT, ATTEMPT),
        (f" {ATTEMPT}\n", ATTEMPT),
        ({"callback_info": ATTEMPT}, ATTEMPT),
        ({"id": ATTEMPT, "count": 3}, ATTEMPT),
        ({"id": ATTEMPT, "other": "text"}, None),
        ("12345678901", "•••"),
        ("KOFFI Adjovi (01 97 12 34 50)", "•••"),
        ("", None),
        (None, None),
        (5, None),
        ([ATTEMPT], None),
        ("x" * 201, "•••"),
        ("a\x00b", "•••"),
    ],
)
def test_echo_is_our_attempt_id_or_none(raw: object, echo: str | None) -> None:
    report = status_report_from({**STATUS, "callback_info": raw})
    assert report is not None
    assert report.echo == echo


@pytest.mark.parametrize(
    ("fields", "ending"),
    [
        ({"phoneNumber": "2290197000050"}, "50"),
        ({"phoneNumber": 2290197000051}, "51"),
        ({"phoneNumber": "+229 01 97 00 00 52"}, "52"),
        ({"phoneNumber": None, "phone_number": "2290197000053"}, "53"),
        ({"phoneNumber": "50"}, None),
        ({"phoneNumber": ["2290197000050"]}, None),
        ({"phoneNumber": None, "payer": "2290197000050"}, None),
        ({"phoneNumber": "٢٢٩٠١٩٧٠٠٠٠٥٠"}, None),
    ],
)
def test_only_the_ending_of_the_number_is_kept(fields: dict[str, object], ending: str | None) -> None:
    report = status_report_from({**STATUS, **fields})
    assert report is not None
    assert report.msisdn_ending == ending
    assert "97000" not in repr(report)


# --- reasons --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"reason": "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED"}, "low_balance"),
        ({"reason": "Insufficient balance"}, "low_balance"),
        ({"reason": "Balance is insufficient."}, "low_balance"),
        ({"reason": "PAYER_NOT_FOUND"}, "payer_not_found"),
        ({"reason": "PAYER NOT FOUND"}, "payer_not_found"),
        ({"reason": "SENDER_ACCOUNT_NOT_ACTIVE"}, "account_not_active"),
        ({"reason": "APPROVAL_REJECTED"}, "payer_declined"),
        ({"reason": "EXPIRED"}, "expired"),
        ({"reason": "INTERNAL_PROCESSING_ERROR"}, "operator_error"),
        ({"reason": {"code": "PAYER_NOT_FOUND", "message": "no such payer"}}, "payer_not_found"),
        ({"reason": ["PAYER_NOT_FOUND"]}, "payer_not_found"),
        ({"reason": "", "statusCode": "10"}, "low_balance"),
        ({"statusCode": "37"}, "amount_too_low"),
        ({"statusCode": 92}, "payer_declined"),
        ({"responsecode": "92"}, "payer_declined"),
        ({"reason": "Something else", "statusCode": "10"}, "low_balance"),
        ({"reason": "Something else"}, "unknown_reason"),
        ({"reason": None}, "unknown_reason"),
        ({"reason": True}, "unknown_reason"),
        ({"reason": [{"deep": "PAYER_NOT_FOUND"}]}, "unknown_reason"),
        ({}, "unknown_reason"),
        ({"response_operator": {"status": ["10"], "description": ["?"]}}, "low_balance"),
    ],
)
def test_failure_has_our_reason_code(fields: dict[str, object], code: str) -> None:
    report = status_report_from({"status": "FAILED", **fields})
    assert report is not None
    assert report.reason_code == code


@pytest.mark.parametrize("status", ["PENDING", "SUCCESSFUL", "SOMETHING"])
def test_only_a_failure_has_a_reason(status: str) -> None:
    report = status_report_from({"status": status, "reason": "PAYER_NOT_FOUND"})
    assert report is not None
    assert (report.reason_code, report.reason_text) == (None, "")


def test_reason_codes_are_stable_words() -> None:
    assert {
        *("low_balance", "payer_not_found", "payer_declined", "account_not_active", "amount_too_low", "expired"),
        *("network_unavailable", "operator_error", "provider_not_activated", "provider_unavailable"),
        *("invalid_phone", "invalid_amount", "invalid_request", "otp_rejected", "unknown_reason"),
    } == REASON_CODES
    assert all(reason_code_from(reason) == code for reason, code in REASONS.items())


def test_numbers_and_control_characters_are_removed() -> None:
    report = status_report_from(
        {"status": "FAILED", "reason": "payer 2290197000050\x00 \ud800not\r\nfound \u202e" + "x" * 500}
    )
    assert report is not None
    assert report.reason_text == "payer ••• not found •••"


@given(raw=VALUES)
def test_cleaned_text_fits_any_log_and_database(raw: object) -> None:
    text = clean_text(raw)

    assert len(text) <= 200
    assert text.isprintable()
    text.encode()


# --- any body -----------------------------------------------------------------------------


@given(body=BODIES)
def test_no_body_makes_a_parser_raise(body: dict[str, object]) -> None:
    accepted = accepted_from(body)
    report = status_report_from(body)
    hint = hint_from(body)

    history_page_from(body)
    balances_from(body)
    assert accepted is None or usable_reference(accepted.reference) == accepted.reference
    assert report is None or report.amount is None or report.amount >= 0
    json.dumps(hint.redacted, allow_nan=False).encode()


@given(body=BODIES)
def test_success_needs_the_word_of_the_table(body: dict[str, object]) -> None:
    report = status_report_from(body)

    if report is not None and report.word is Word.SUCCESSFUL:
        assert report.raw_word.upper() in {"SUCCESSFUL", "SUCCESS"}


@pytest.mark.parametrize(
    ("raw", "currency"),
    [("XOF", "XOF"), (" xof ", "XOF"), ("XAF", "XAF"), (None, None), ("", None)]
    + [(raw, "?") for raw in ("FCFA", "XO", 952, ["XOF"], {}, True, "\u00d7OF")],
)
def test_currency_is_three_capitals_none_or_unreadable(raw: object, currency: str | None) -> None:
    report = status_report_from({**STATUS, "currency": raw})
    assert report is not None
    assert report.currency == currency
