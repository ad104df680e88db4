"""GET history/export/: the user's payments as a file, with the filters of the history, safe in a spreadsheet."""

from __future__ import annotations

import csv
import io
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from django_feexpay import exports
from django_feexpay.models import Payment
from tests.api.caller import Caller, assert_problem
from tests.api.test_history import NOON, keep_many, kept, newest_first

pytestmark = pytest.mark.django_db

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def content(response: Any) -> bytes:
    """The whole file. The test client closes it at its end, as a server does."""
    assert response.status_code == 200
    return b"".join(response.streaming_content)


def table(response: Any) -> list[dict[str, str]]:
    """The rows of an export of either format, as text."""
    raw = content(response)
    if response.headers["Content-Type"] == XLSX:
        sheet = load_workbook(io.BytesIO(raw), read_only=True).active
        cells = [["" if cell is None else str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    else:
        cells = list(csv.reader(io.StringIO(raw.decode(), newline="")))
    assert cells[0] == list(exports.COLUMNS)
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def export(caller: Caller, **query: Any) -> list[dict[str, str]]:
    return table(caller.get("history/export/", **({"format": "csv"} | query)))


def ids(rows: list[dict[str, str]]) -> list[UUID]:
    return [UUID(row["id"]) for row in rows]


@pytest.mark.parametrize("name", ["csv", "xlsx"])
def test_row_has_the_values_of_the_api(player: User, caller: Caller, name: str) -> None:
    payment = kept(
        player,
        status="successful",
        reference="REF-9",
        amount=1000,
        currency="EUR",
        charged_amount=6560,
        exchange_rate="655.957",
        fee=112,
        merchant_reference="order-17",
        description="Dix pièces d'or – 🪙",
        settled_at=NOON + timedelta(seconds=9),
    )

    [row] = export(caller, format=name)

    assert row == {
        "id": str(payment.pk),
        "created_at": "2026-11-23T12:00:00.000Z",
        "settled_at": "2026-11-23T12:00:09.000Z",
        "status": "successful",
        "detail": "credited",
        "provider": "mtn_bj",
        "country": "BJ",
        "amount": "1000",
        "currency": "EUR",
        "charged_amount": "6560",
        "charged_currency": "XOF",
        "exchange_rate": "655.957",
        "fee": "112",
        "phone": "'+229 01 •• •• •• 50",
        "merchant_reference": "order-17",
        "description": "Dix pièces d'or – 🪙",
        "reference": "REF-9",
        "attempt_count": "1",
        "refunded": "0",
    }


def test_amounts_are_numbers_in_a_workbook(player: User, caller: Caller) -> None:
    kept(player)
    response = caller.get("history/export/", format="xlsx")

    [_, row] = load_workbook(io.BytesIO(content(response))).active.iter_rows(values_only=True)

    assert row[exports.COLUMNS.index("amount")] == 5000


@pytest.mark.parametrize(("name", "media_type"), [("csv", "text/csv; charset=utf-8"), ("xlsx", XLSX)])
def test_export_is_a_file_to_save(caller: Caller, name: str, media_type: str) -> None:
    response = caller.get("history/export/", format=name)

    assert response.headers["Content-Type"] == media_type
    assert response.headers["Content-Disposition"].startswith('attachment; filename="payments-2')
    assert response.headers["Content-Disposition"].endswith(f'.{name}"')
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert table(response) == []


@pytest.mark.parametrize(
    ("accept", "query", "media_type"),
    [
        ("*/*", {}, "text/csv; charset=utf-8"),
        ("text/csv", {}, "text/csv; charset=utf-8"),
        (XLSX, {}, XLSX),
        ("application/json", {"format": "csv"}, "text/csv; charset=utf-8"),
        ("text/html, */*;q=0.8", {"format": "xlsx"}, XLSX),
    ],
)
def test_format_parameter_has_priority_over_accept(
    caller: Caller, accept: str, query: dict[str, str], media_type: str
) -> None:
    response = caller.get("history/export/", headers={"Accept": accept}, **query)

    assert response.headers["Content-Type"] == media_type
    assert table(response) == []


@pytest.mark.parametrize(
    ("accept", "query"),
    [("application/json", {}), ("*/*", {"format": "pdf"}), ("*/*", {"format": ""}), ("*/*", {"format": "CSV"})],
)
def test_unknown_format_is_refused(caller: Caller, accept: str, query: dict[str, str]) -> None:
    response = caller.get("history/export/", headers={"Accept": accept}, **query)

    assert_problem(response, 406, "not_acceptable")


def test_settings_of_the_host_do_not_change_the_format(caller: Caller, settings: Any) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "URL_FORMAT_OVERRIDE": None}

    response = caller.get("history/export/", format="xlsx")

    assert response.headers["Content-Type"] == XLSX
    assert table(response) == []


# --- rows ----------------------------------------------------------------------------------------


def test_rows_of_the_same_instant_appear_once_newest_first(player: User, caller: Caller) -> None:
    expected = newest_first(keep_many(player, 2100))
    newest = kept(player, at=NOON + timedelta(seconds=1))

    assert ids(export(caller)) == [newest.pk, *expected]


def test_export_has_only_payments_of_the_user(player: User, caller: Caller) -> None:
    kept(User.objects.create_user("kofi"))
    mine = kept(player)

    for name in exports.FORMATS:
        assert ids(export(caller, format=name)) == [mine.pk]
        assert_problem(Caller().get("history/export/", format=name), 401, "not_authenticated")


def test_export_without_payments_has_the_column_names(caller: Caller) -> None:
    for name in exports.FORMATS:
        assert export(caller, format=name, search="nothing") == []


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"status": "pending"},
        {"provider": "moov_bj"},
        {"country": "CI"},
        {"currency": "XAF"},
        {"merchant_reference": "paid"},
        {"idempotency_key": "tap-1"},
        {"created_after": "2026-11-23T12:00:02Z"},
        {"created_before": "2026-11-23T12:00:02Z"},
        {"amount_min": "700", "amount_max": "700"},
        {"search": "REF-9"},
        {"search": "PA"},
    ],
    ids=str,
)
def test_filters_are_those_of_history(player: User, caller: Caller, query: dict[str, str]) -> None:
    rows: list[dict[str, Any]] = [
        {"merchant_reference": "coins"},
        {"merchant_reference": "sent", "provider_id": "moov_bj", "amount": 500, "status": "sending"},
        {"merchant_reference": "paid", "provider_id": "mtn_ci", "amount": 700, "status": "successful"},
        {"merchant_reference": "refused", "idempotency_key": "tap-1", "status": "rejected", "reference": "REF-9"},
        {"merchant_reference": "late", "currency": "XAF", "status": "expired"},
    ]
    for seconds, row in enumerate(rows):
        kept(player, at=NOON + timedelta(seconds=seconds), **row)
    shown = [row["id"] for row in caller.get("history/", **query).json()["results"]]

    assert shown
    for name in exports.FORMATS:
        assert [row["id"] for row in export(caller, format=name, **query)] == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [("cursor", "x"), ("page_size", "5"), ("statuss", "pending"), ("status", "sending"), ("amount_min", "many")],
)
def test_invalid_filter_is_refused(caller: Caller, name: str, value: str) -> None:
    response = caller.get("history/export/", format="xlsx", **{name: value})

    assert_problem(response, 400, "validation_error", field=name)


# --- cells ------------------------------------------------------------------------------

INJECTIONS = {
    '=HYPERLINK("http://evil.test")': '\'=HYPERLINK("http://evil.test")',
    "+1+1": "'+1+1",
    "-2+3": "'-2+3",
    "@SUM(A1)": "'@SUM(A1)",
    "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0",
    " =1+1": "' =1+1",
    "\t=1+1": "' =1+1",
    "\r\n=1+1": "' =1+1",
    "a\n=1+1": "a =1+1",
    "＝1+1": "'＝1+1",
    "x;=1+1;y": "x;'=1+1;y",
    "x; @SUM(A1)": "x;' @SUM(A1)",
    'a";=1+1': "a\";'=1+1",
    "\ufeff=1": "\ufeff=1",
    "'=1": "'=1",
    "a\x07b\x1bc": "a\ufffdb\ufffdc",
    "\uffff": "\ufffd",
    "a,b": "a,b",
    'say "hello"': 'say "hello"',
    "order-5": "order-5",
    "a+b=c": "a+b=c",
    "طلب 17": "طلب 17",
    "👩🏾‍🚀": "👩🏾‍🚀",
    "_x000D_": "_x000D_",
}


@pytest.mark.parametrize("column", ["merchant_reference", "description"])
def test_no_cell_is_a_formula_and_both_formats_are_equal(player: User, caller: Caller, column: str) -> None:
    for seconds, text in enumerate(INJECTIONS):
        kept(player, at=NOON - timedelta(seconds=seconds), **{column: text})

    as_csv, as_xlsx = (export(caller, format=name) for name in exports.FORMATS)

    assert [row[column] for row in as_csv] == list(INJECTIONS.values())
    assert as_xlsx == as_csv


def test_workbook_holds_no_formula(player: User, caller: Caller) -> None:
    kept(player, merchant_reference="=1+1", description="@SUM(A1)")
    response = caller.get("history/export/", format="xlsx")

    book = load_workbook(io.BytesIO(content(response)))

    assert {cell.data_type for row in book.active.iter_rows() for cell in row} <= {"inlineStr", "s", "n"}


def test_number_is_masked_and_metadata_is_left_out(player: User, caller: Caller) -> None:
    kept(player, metadata={"note": "a secret of the shop's"}, idempotency_key="tap-1")

    for name in exports.FORMATS:
        [row] = export(caller, format=name)
        assert row["phone"].endswith("•• 50")
        assert not {"secret", "tap-1"} & set(" ".join(row.values()).split())


# --- cost -------------------------------------------------------------------------------------


def test_first_bytes_are_sent_before_the_first_row_is_read(player: User, caller: Caller) -> None:
    kept(player)
    response = caller.get("history/export/", format="csv")
    chunks = iter(response.streaming_content)

    with CaptureQueriesContext(connection) as statements:
        assert next(chunks).startswith(b"id,created_at,")
        assert len(statements) == 0
        next(chunks)
        assert len(statements) == 1


def test_workbook_with_too_many_rows_is_refused(player: User, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "XLSX_MOST_ROWS", 3)
    keep_many(player, 3)
    assert len(export(caller, format="xlsx")) == 3
    keep_many(player, 1)

    body = assert_problem(caller.get("history/export/", format="xlsx"), 400, "validation_error", field="format")
    assert "at most 3 payments" in body["errors"][0]["message"]
    assert len(export(caller, format="csv")) == 4
    assert len(export(caller, format="xlsx", created_before="2026-11-23T12:00:00Z")) == 0


def test_missing_xlsx_package_is_named(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    body = assert_problem(caller.get("history/export/", format="xlsx"), 406, "not_acceptable")

    assert "pip install 'django-feexpay[export]'" in body["detail"]
    assert export(caller, format="csv") == []


def test_export_writes_nothing(player: User, caller: Caller) -> None:
    kept(player)
    before = list(Payment.objects.values())

    for name in exports.FORMATS:
        export(caller, format=name)

    assert list(Payment.objects.values()) == before


@pytest.mark.parametrize("name", exports.FORMATS)
def test_head_of_an_export_makes_no_file(
    player: User, caller: Caller, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kept(player)
    monkeypatch.setattr(exports, "_slices", pytest.fail)

    answer = caller.call("HEAD", f"history/export/?format={name}")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(exports.FORMATS[name].media_type)
    assert answer.headers["Content-Disposition"].endswith(f'.{name}"')


def test_head_of_a_too_large_export_is_refused(player: User, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "XLSX_MOST_ROWS", -1)

    assert caller.call("HEAD", "history/export/?format=xlsx").status_code == 400
