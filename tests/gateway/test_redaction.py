"""Redaction of texts from outside: common words and known formats stay, personal data does not."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_feexpay.catalogue.outcomes import REASONS
from django_feexpay.gateway.redaction import safe_echo, safe_id, safe_instant, safe_number, safe_page_name, safe_words
from django_feexpay.gateway.refusals import refusal_of_collect
from django_feexpay.gateway.reports import hint_from, redacted, status_report_from

UUID = "0a1b2c3d-1111-4222-8333-444455556666"

DOCUMENTED = [
    *("Transaction not found", "Validation failed", "Celtiis BJ API Error", "FeexLink expired", "Unauthorized"),
    *("Accepted", "Accept the service request successfully.", "Insufficient balance", "Balance is insufficient"),
    *("Shop is disabled", "Merchant or Shop not found", "MTN CI channel not configured", "Shop introuvable"),
    *("Network under maintenance", "Reference is required", "Payout request accepted", "Paiement", "PAYMENT_HISTORY"),
    *("IN PENDING STATE", "SUCCESSFUL", "FAILED", "CANCELLED", "REVERSED", "REFUNDED", "MTN", "MOOV BF", "TOGOCOM TG"),
    *("Solde insuffisant", "Le client a refusé l'opération", "ERR_TRANSACTION_FAILED", "ERR_PAYOUT_NOT_ENABLED", "10"),
]


@pytest.mark.parametrize("text", [*DOCUMENTED[:-3], *DOCUMENTED[-2:], *REASONS])
def test_documented_words_are_kept_in_full(text: str) -> None:
    assert safe_words(text) == text


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("KOFFI Adjovi (01 97 12 34 50) koffi@mail.bj", "•••"),
        ("Le compte de KOFFI Adjovi (01 97 12 34 50) est bloqué", "Le compte de ••• est bloqué"),
        ("payer 229-01.97.12.34.50 not found", "payer ••• not found"),
        ("payer +229 (01) 97 12 34 50 not found", "payer +••• not found"),
        ("payer ٠١٩٧١٢٣٤٥٠ not found", "payer ••• not found"),
        ("payer 0️⃣1️⃣9️⃣7️⃣1️⃣2️⃣3️⃣4️⃣ not found", "payer ••• not found"),
        ("payer ０１９７１２３４ not found", "payer ••• not found"),
        ("code 123456 invalid", "code ••• invalid"),
        ("Error 500", "Error 500"),
        ("see https://feexpay.example/t/koffi for the reason", "see ••• for the reason"),
        ("<script>alert(1)</script>", "•••(1)•••"),
        ("=HYPERLINK", "•••"),
        ("", ""),
        (None, ""),
        (True, ""),
        (10, "10"),
        (2290197123450, "•••"),
    ],
)
def test_text_keeps_common_words_and_drops_personal_data(said: object, kept: str) -> None:
    assert safe_words(said) == kept


def test_limits_are_exact() -> None:
    assert (safe_words("." * 300), safe_words("." * 300, 7)) == ("." * 200, "." * 7)
    assert (safe_words(" " * 794 + "FAILED"), safe_words(" " * 800 + "FAILED")) == ("FAILED", "")
    assert (safe_words("code 123 invalid"), safe_words("code 1234 invalid")) == ("code 123 invalid", "code ••• invalid")
    assert (safe_id("12345678"), safe_id("1234567")) == ("•••78", "•••")
    assert (safe_number(9_999_999), safe_number(10**7)) == (9_999_999, "")
    assert (safe_number(-9_999_999), safe_number(-(10**7))) == (-9_999_999, "")


# --- any text ---------------------------------------------------------------------------------------

NUMBERS = st.sampled_from(["2290197123450", "0197123450", "97123450", "22890123456"])
JOINS = st.sampled_from(["", " ", ".", "-", " - ", "/", "\u00a0", "\u202f", ") (", ", "])
SCRIPTS = st.sampled_from(["0123456789", "٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９", "०१२३४५६७८९"])
NAMES = st.sampled_from(["Kossiwavi", "Gnonlonfoun", "d'Almeida", "Ahouansou-Zinsou", "Ọláyínká", "KOFFI", "Adjovi"])
MAILS = st.sampled_from(["kossiwavi.g@mail.bj", "koffi+shop@payer.test", "x_adjovi@exämple.org"])
WORDS = st.sampled_from(["payer", "not found", "solde insuffisant", "(", ")", ":", "compte", "FAILED", "_", "92"])


@st.composite
def grouped(draw: st.DrawFn) -> str:
    """A phone number in the notations of people and machines."""
    digits, script = draw(NUMBERS), draw(SCRIPTS)
    cuts = draw(st.integers(1, 4))
    groups = [digits[start : start + cuts] for start in range(0, len(digits), cuts)]
    return draw(JOINS).join(groups).translate(str.maketrans("0123456789", script))


SAID = st.lists(st.one_of(WORDS, NAMES, MAILS, grouped()), min_size=1, max_size=8).map(" ".join)


def assert_no_personal_data(text: str) -> None:
    assert len(re.sub(r"\D", "", text)) <= 3
    for part in ("kossi", "gnonlon", "almeida", "ahouansou", "zinsou", "koffi", "adjovi", "mail", "payer.test", "@"):
        assert part not in text.casefold()


@given(said=SAID)
def test_redacted_text_contains_no_number_name_or_email(said: str) -> None:
    report = status_report_from({"status": "FAILED", "reason": said})
    refusal = refusal_of_collect(400, {}, json.dumps({"statusCode": 400, "message": said}).encode())

    assert report is not None
    assert_no_personal_data(report.reason_text)
    assert_no_personal_data(getattr(refusal, "text", ""))
    assert_no_personal_data(str(refusal).replace("400", ""))


FIELDS = (
    *("order_id", "transref", "ref_operator", "request_id", "callback_info", "ref_link", "amount", "row_count", "date"),
    *("expires_at", "status", "type", "reseau", "result_format", "reason", "description", "custom_id", "first_name"),
)


@given(said=SAID, field=st.sampled_from(FIELDS))
@example(said="Kossiwavi", field="ref_link")
def test_no_field_of_a_delivery_contains_personal_data(said: str, field: str) -> None:
    hint = hint_from({"reference": UUID, field: said})

    kept = [value for name, value in hint.redacted.items() if name != "reference"]
    for value in (*kept, hint.reported_status, hint.event_type, hint.echo or "", repr(hint.link)):
        assert_no_personal_data(str(value))


@given(said=st.dictionaries(st.sampled_from(FIELDS), SAID | st.integers() | st.booleans() | st.none()))
def test_redacting_again_changes_nothing(said: dict[str, object]) -> None:
    once = redacted(said)

    assert redacted(once) == once


# --- ids, dates and numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (UUID, UUID),
        (UUID.upper(), UUID.upper()),
        ("AG_20260701_00aa11bb22cc", "AG_20260701_00aa11bb22cc"),
        ("9876543210", "•••10"),
        ("OP-1", "•••"),
        ("KOFFI Adjovi (01 97 12 34 50)", "•••"),
        ("", ""),
        (None, ""),
        (9876543210, ""),
    ],
)
def test_id_is_kept_in_a_known_format(raw: object, kept: str) -> None:
    assert safe_id(raw) == kept


def test_other_values() -> None:
    assert [safe_echo(raw) for raw in (UUID, "", None, 5, "koffi@mail.bj")] == [UUID, None, None, None, "•••"]
    assert [safe_page_name(raw) for raw in ("abcd1234", "Ab-C_D", "", "97123450", "a b", "k" * 65, None)] == [
        *("abcd1234", "Ab-C_D"),
        *[""] * 5,
    ]
    assert [safe_instant(raw) for raw in ("2026-07-01T10:00:00.000Z", "2026-07-01", "20٢٦-٠٧-٠١", "0197123450", 5)] == [
        *("2026-07-01T10:00:00.000Z", "2026-07-01"),
        *("", "", ""),
    ]
    assert [safe_number(raw) for raw in (5000, "5000", 49.5, None, 97123450, "97123450", float("nan"), [])] == [
        *(5000, "5000", 49.5, None),
        *("", "", "", ""),
    ]
