"""What FeexPay's report means for an attempt: the rule that decides about money."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.gateway.reports import StatusReport, status_report_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.payments.report_evaluation import Verdict, evaluate_report

CREATED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EXPIRES = CREATED + timedelta(minutes=15)
BEFORE, AFTER = EXPIRES - timedelta(seconds=1), EXPIRES
AMOUNT, FEE = 5000, 85
REFERENCE = "3f0c7a52-9d1e-4b6a-8a55-0123456789ab"
PK = uuid.UUID("7a2f0b6e-1111-4222-8333-444455556666")


def attempt(status: Status = Status.PENDING, reference: str | None = REFERENCE) -> Attempt:
    payment = Payment(amount=AMOUNT, fee=FEE, charged_currency="XOF")
    return Attempt(
        pk=PK,
        payment=payment,
        status=status,
        amount=AMOUNT,
        gateway_reference=reference,
        masked_msisdn="+229 01 •• •• •• 50",
        expires_at=EXPIRES,
    )


def report(word: Word = Word.SUCCESSFUL, **changes: Any) -> StatusReport:
    facts = {"reference": REFERENCE, "amount": AMOUNT, "echo": str(PK), "msisdn_ending": "50"}
    return StatusReport(word=word, **{**facts, **changes})


def verdict(
    told: StatusReport, *, status: Status = Status.PENDING, now: datetime = BEFORE, reference: str | None = REFERENCE
) -> tuple[str | None, str]:
    found: Verdict = evaluate_report(attempt(status, reference), told, now)
    return found.to_status, found.because


ANY_OPEN = [Status.PENDING, Status.UNKNOWN, Status.EXPIRED, Status.FAILED, Status.REJECTED, Status.REVIEW]


@pytest.mark.parametrize("status", ANY_OPEN)
@pytest.mark.parametrize("now", [BEFORE, AFTER, AFTER + timedelta(days=30)])
def test_proven_success_is_credited_at_any_time(status: Status, now: datetime) -> None:
    assert verdict(report(), status=status, now=now) == ("successful", "confirmed")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"amount": AMOUNT + FEE}, ("successful", "confirmed"), id="with the fee on top"),
        pytest.param({"amount": None}, ("successful", "confirmed"), id="no amount told"),
        pytest.param({"msisdn_ending": None}, ("successful", "confirmed"), id="no msisdn told"),
        pytest.param({"reference": REFERENCE.upper()}, ("successful", "confirmed"), id="reference in capitals"),
        pytest.param({"currency": "XAF"}, ("review", "currency_mismatch"), id="the other franc"),
        pytest.param({"currency": "?"}, ("review", "currency_mismatch"), id="no currency"),
        pytest.param({"amount": AMOUNT - 1}, ("review", "amount_mismatch"), id="one less"),
        pytest.param({"amount": AMOUNT + 1}, ("review", "amount_mismatch"), id="one more"),
        pytest.param({"amount": AMOUNT + FEE + 1}, ("review", "amount_mismatch"), id="more than the fee"),
        pytest.param({"amount": AMOUNT - FEE}, ("review", "amount_mismatch"), id="less the fee"),
        pytest.param({"amount": 0}, ("review", "amount_mismatch"), id="nothing"),
        pytest.param({"echo": None}, ("review", "echo_missing"), id="no echo"),
        pytest.param({"echo": str(uuid.UUID(int=1))}, ("review", "echo_mismatch"), id="another attempt's echo"),
        pytest.param({"echo": str(PK).upper()}, ("review", "echo_mismatch"), id="echo is compared to the letter"),
        pytest.param({"echo": ""}, ("review", "echo_mismatch"), id="empty echo"),
        pytest.param({"reference": None}, ("review", "reference_missing"), id="no reference"),
        pytest.param({"reference": REFERENCE[:-1]}, ("review", "reference_mismatch"), id="another reference"),
        pytest.param({"msisdn_ending": "51"}, ("review", "msisdn_mismatch"), id="another payer"),
    ],
)
def test_success_needs_every_fact_to_match(changes: dict[str, Any], expected: tuple[str | None, str]) -> None:
    assert verdict(report(**changes)) == expected


def test_success_without_our_own_reference_goes_to_review() -> None:
    assert verdict(report(), reference=None) == ("review", "reference_mismatch")


@pytest.mark.parametrize("status", [Status.PENDING, Status.UNKNOWN, Status.EXPIRED, Status.REVIEW])
@pytest.mark.parametrize("now", [BEFORE, AFTER])
def test_failure_settles(status: Status, now: datetime) -> None:
    assert verdict(report(Word.FAILED), status=status, now=now) == ("failed", "failed")


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"reference": "another"}, "reference_mismatch"),
        ({"echo": "another"}, "echo_mismatch"),
        ({"msisdn_ending": "51"}, "msisdn_mismatch"),
    ],
)
def test_failure_of_another_payment_goes_to_review(changes: dict[str, Any], because: str) -> None:
    assert verdict(report(Word.FAILED, **changes)) == ("review", because)


@pytest.mark.parametrize("changes", [{"amount": None}, {"amount": 1}, {"echo": None}, {"reference": None}])
def test_failure_needs_no_amount_and_no_echo(changes: dict[str, Any]) -> None:
    assert verdict(report(Word.FAILED, **changes)) == ("failed", "failed")


@pytest.mark.parametrize("word", [Word.PENDING, Word.UNKNOWN, Word.MISSING])
@pytest.mark.parametrize("status", [Status.PENDING, Status.UNKNOWN])
def test_unfinished_payment_waits_until_expiry(word: Word, status: Status) -> None:
    assert verdict(report(word), status=status, now=BEFORE) == (None, "waiting")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (Word.PENDING, ("expired", "payer_did_not_answer")),
        (Word.UNKNOWN, ("review", "unknown_word")),
        (Word.MISSING, ("review", "unknown_to_gateway")),
    ],
)
@pytest.mark.parametrize("status", [Status.PENDING, Status.UNKNOWN])
def test_after_expiry_pending_expires_and_other_words_go_to_review(
    word: Word, expected: tuple[str, str], status: Status
) -> None:
    assert verdict(report(word), status=status, now=AFTER) == expected


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.REVIEW])
@pytest.mark.parametrize("word", [Word.PENDING, Word.UNKNOWN, Word.MISSING])
def test_expired_and_review_wait_for_a_final_word(status: Status, word: Word) -> None:
    assert verdict(report(word), status=status, now=AFTER) == (None, "waiting")


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
@pytest.mark.parametrize("word", [Word.PENDING, Word.UNKNOWN])
@pytest.mark.parametrize("now", [BEFORE, AFTER])
def test_unfinished_payment_after_a_failure_goes_to_review(status: Status, word: Word, now: datetime) -> None:
    assert verdict(report(word), status=status, now=now) == ("review", "alive_after_failure")


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
def test_missing_payment_after_a_failure_changes_nothing(status: Status) -> None:
    assert verdict(report(Word.MISSING), status=status, now=AFTER) == (None, "waiting")


# --- any report of FeexPay ------------------------------------------------------------------------------

facts = st.fixed_dictionaries(
    {},
    optional={
        "status": st.one_of(
            st.sampled_from(["SUCCESSFUL", "success", "FAILED", "PENDING", "IN PENDING STATE"]), st.text()
        ),
        "reference": st.one_of(st.sampled_from([REFERENCE, REFERENCE.upper()]), st.text(), st.none()),
        "callback_info": st.one_of(
            st.just(str(PK)), st.text(), st.none(), st.dictionaries(st.text(max_size=3), st.just(str(PK)), max_size=2)
        ),
        "amount": st.one_of(
            st.sampled_from([AMOUNT, AMOUNT + FEE, str(AMOUNT), float(AMOUNT), None, "", True]),
            st.integers(),
            st.floats(),
            st.text(),
        ),
        "phoneNumber": st.one_of(st.sampled_from(["2290161000050", 2290161000051, None]), st.text()),
    },
)


@given(body=facts, status=st.sampled_from(ANY_OPEN), late=st.booleans())
def test_success_needs_every_proof_and_failure_contradicts_none(
    body: dict[str, Any], status: Status, late: bool
) -> None:
    told = status_report_from(body)
    if told is None:
        assert "status" not in body
        return

    to_status = evaluate_report(attempt(status), told, AFTER if late else BEFORE).to_status

    word = " ".join(str(body["status"]).upper().split())
    if to_status is Status.SUCCESSFUL:
        assert word in {"SUCCESSFUL", "SUCCESS"}
        assert str(body["reference"]).casefold().strip(" ") == REFERENCE
        assert str(PK) in (body["callback_info"], *_texts(body["callback_info"]))
        assert body.get("amount") in (None, "", AMOUNT, AMOUNT + FEE) or _as_number(body["amount"]) in (5000, 5085)
    if to_status is Status.FAILED:
        assert word == "FAILED"
        assert _reads_as(body.get("reference"), REFERENCE) or told.reference is None
        assert told.echo in (None, str(PK))
        assert told.msisdn_ending in (None, "50")


@given(amount=st.integers(1, 10**12), paid=st.integers(0, 10**12), fee=st.integers(0, 10**6))
def test_only_the_amount_asked_for_or_that_plus_the_fee_is_credited(amount: int, paid: int, fee: int) -> None:
    ours = attempt()
    ours.amount, ours.payment.fee = amount, fee

    to_status = evaluate_report(ours, report(amount=paid), BEFORE).to_status

    assert to_status == ("successful" if paid in (amount, amount + fee) else "review")


def _texts(value: object) -> list[str]:
    return list(value.values()) if isinstance(value, dict) else [str(value).strip()]


def _reads_as(value: object, reference: str) -> bool:
    return isinstance(value, str) and value.strip(" ").casefold() == reference


def _as_number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
