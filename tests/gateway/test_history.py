"""Parsing of FeexPay's history and balances."""

from __future__ import annotations

import pytest

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.gateway.reports import balances_from, history_page_from

UUID = "0a1b2c3d-1111-4222-8333-444455556666"
ATTEMPT = "7d9f4a50-8d3c-4e9e-9a52-0c2b8f1d6e77"


ROW = {
    "reference": UUID,
    "type": "PAYMENT_API",
    "status": "SUCCESSFUL",
    "amount": 5000,
    "reseau": "MTN",
    "phone_number": "2290197000050",
    "financial_transaction_id": "1234567",
    "custom_id": None,
    "description": "100 coins",
    "callback_info": {"callback_info": ATTEMPT},
    "reason": None,
    "date": "2026-07-01T10:00:00.000Z",
}


def test_history_row_contains_a_report_and_the_provider() -> None:
    page = history_page_from({"success": True, "total": 1, "data": [ROW]})
    assert page is not None
    (row,) = page.rows

    assert (page.total, page.complete) == (1, True)
    assert (row.provider_wire_name, row.created_at) == ("MTN", "2026-07-01T10:00:00.000Z")
    assert (row.report.reference, row.report.word, row.report.amount) == (UUID, Word.SUCCESSFUL, 5000)
    assert (row.report.echo, row.report.msisdn_ending) == (ATTEMPT, "50")


def test_empty_history_is_complete() -> None:
    page = history_page_from({"success": True, "total": 0, "data": []})
    assert page is not None
    assert (page.rows, page.total, page.complete) == ((), 0, True)


@pytest.mark.parametrize(
    ("body", "total"),
    [
        ({"total": 2, "data": [ROW]}, 2),  # cut
        ({"data": [ROW]}, 1),  # the total is unknown
        ({"total": "many", "data": [ROW]}, 1),
        ({"total": 2, "data": [ROW, "?"]}, 2),  # a row we cannot read
        ({"total": 2, "data": [ROW, {"reference": UUID}]}, 2),
        ({"total": 500, "data": [ROW] * 500}, 500),  # a full page may have been cut
    ],
)
def test_history_that_may_lack_rows_is_not_complete(body: dict[str, object], total: int) -> None:
    page = history_page_from(body)
    assert page is not None
    assert (page.total, page.complete) == (total, False)


def test_history_may_be_wrapped_in_data() -> None:
    page = history_page_from({"success": True, "data": {"total": "1", "data": [ROW]}})
    assert page is not None
    assert (len(page.rows), page.complete) == (1, True)


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": "rows"}, {"data": {}}, {"data": {"data": {"data": {"data": []}}}}]
)
def test_history_without_a_list_is_none(body: dict[str, object]) -> None:
    assert history_page_from(body) is None


# --- balance ----------------------------------------------------------------------------------------


def test_balances_are_found_in_two_wrappers() -> None:
    inner = {"shop_public_id": "x", "balances": {"MTN": 12_000, "CELTIIS BJ": "700", "WAVE CI": 99.9}, "last24": None}
    body = {"success": True, "data": {"success": True, "data": inner}}

    assert balances_from(body) == {"MTN": 12_000, "CELTIIS BJ": 700, "WAVE CI": 99}


def test_unreadable_balance_is_left_out() -> None:
    assert balances_from({"balances": {"MTN": "?", "MOOV": True, "CORIS": None, "MTN CI": -5}}) == {"MTN CI": -5}


@pytest.mark.parametrize("body", [{}, {"data": None}, {"balances": []}, {"data": {"data": {"data": {}}}}])
def test_body_without_balances_is_none(body: dict[str, object]) -> None:
    assert balances_from(body) is None
