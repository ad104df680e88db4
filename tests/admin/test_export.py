"""Exports of the lists, with their permission and their row in the audit list; and the page of a converted payment."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from django_feexpay import table_files
from django_feexpay.admin import list_exports, readonly
from django_feexpay.models import Attempt, Credit, Discrepancy, Incident, Payment, Payout, Refund, StaffAction
from tests.admin.conftest import StaffClient, StartPayment, make_discrepancy, make_payout, page_of
from tests.api.test_history import store_payment, store_payments
from tests.payments.charging import refund

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/payment/"
LISTS = ["payment", "attempt", "credit", "incident", "refund", "payout", "discrepancy"]
MODELS: dict[str, Any] = {
    "payment": Payment,
    "attempt": Attempt,
    "credit": Credit,
    "incident": Incident,
    "refund": Refund,
    "payout": Payout,
    "discrepancy": Discrepancy,
}

NEW_YEAR = datetime(2026, 12, 31, 23, 30, 15, tzinfo=UTC)  # half past midnight in Porto-Novo


def take(client: Client, *rows: Any, name: str = "csv", query: str = "", of: str = "payment", **more: Any) -> Any:
    form = {"action": f"export_{name}", ACTION_CHECKBOX_NAME: [row.pk for row in rows], **more}
    return client.post(f"/admin/feexpay/{of}/{query}", form)


def table(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    content = b"".join(answer.streaming_content)
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def ids(answer: Any) -> list[str]:
    return [row["Id"] for row in table(answer)]


def test_chosen_payments_come_newest_first_and_masked(superuser_client: Client, start_payment: StartPayment) -> None:
    older, _, newer = start_payment(), start_payment(phone="01 97 00 00 51"), start_payment()

    rows = table(take(superuser_client, older, newer))

    assert [row["Id"] for row in rows] == [str(newer.pk), str(older.pk)]
    assert {row["Phone"] for row in rows} == {"229 01 •• •• •• 50"}


def test_select_all_takes_the_whole_filtered_list(superuser_client: Client, start_payment: StartPayment) -> None:
    one = start_payment(merchant_reference="order-x", phone="01 97 00 00 52")
    start_payment()

    assert ids(take(superuser_client, one, query="?q=order-x", select_across="1")) == [str(one.pk)]
    assert len(ids(take(superuser_client, one, select_across="1"))) == 2


def test_select_all_says_how_many_it_takes(
    superuser_client: Client, player: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages count no further than a limit, but the action takes every row."""
    monkeypatch.setattr(readonly, "MAX_COUNTED", 60)
    payments = store_payments(player, 75)

    page = superuser_client.get(LIST).content.decode()

    assert "Select all rows, more than 60" in page
    assert "All rows selected, more than 60" in page
    assert len(ids(take(superuser_client, payments[0], select_across="1"))) == 75


def test_times_are_the_shops_and_dates_in_a_workbook(superuser_client: Client, player: User) -> None:
    payment = store_payment(player, at=NEW_YEAR)

    answer = take(superuser_client, payment, name="xlsx")
    sheet = load_workbook(io.BytesIO(b"".join(answer.streaming_content))).worksheets[0]

    assert table(take(superuser_client, payment))[0]["Created at"] == "2027-01-01 00:30:15"
    assert sheet["B2"].is_date
    assert sheet["B2"].value == datetime(2027, 1, 1, 0, 30, 15)  # noqa: DTZ001 -- a workbook knows no time zone


def test_amounts_are_numbers_in_units_of_their_currency(superuser_client: Client, player: User) -> None:
    payment = store_payment(player, amount=1050, currency="EUR", charged_amount=6888, exchange_rate=Decimal("655.957"))

    answer = take(superuser_client, payment, name="xlsx")
    sheet = load_workbook(io.BytesIO(b"".join(answer.streaming_content))).worksheets[0]
    head, cells = ([cell.value for cell in row] for row in sheet.iter_rows())
    row = dict(zip(head, cells, strict=True))

    assert (row["Amount"], row["Currency"], row["Exchange rate"]) == (10.5, "EUR", 655.957)
    assert (row["Charged amount"], row["Charged currency"]) == (6888, "XOF")
    assert table(take(superuser_client, payment))[0]["Amount"] == "10.50"


def test_fee_and_net_are_of_money_that_was_taken(superuser_client: Client, player: User) -> None:
    failed, paid = store_payment(player, status="failed", fee=85), store_payment(player, status="successful", fee=85)

    rows = {row["Id"]: (row["Fee"], row["Net"]) for row in table(take(superuser_client, failed, paid))}

    assert rows == {str(failed.pk): ("", ""), str(paid.pk): ("85", "4915")}


def test_refunds_of_a_payment_have_a_column(superuser_client: Client, player: User) -> None:
    payment = store_payment(player, status="successful")
    refund(payment, 2000, NEW_YEAR)
    refund(payment, 1000, NEW_YEAR, state="proposed")

    assert table(take(superuser_client, payment))[0]["Refunded"] == "2000"


def test_heads_and_words_are_in_the_users_language(superuser_client: Client, player: User) -> None:
    payment = store_payment(player, status="successful")
    form = {"action": "export_csv", ACTION_CHECKBOX_NAME: [payment.pk]}

    row = table(superuser_client.post(LIST, form, headers={"Accept-Language": "fr"}))[0]

    assert (row["Statut"], row["Moyen de paiement"], row["Devise"]) == ("Réussi", "MTN Mobile Money", "XOF")


@pytest.mark.parametrize("name", ["csv", "xlsx"])
def test_no_cell_is_a_formula(superuser_client: Client, player: User, name: str) -> None:
    payment = store_payment(player, description="=1+1", merchant_reference="@cmd")

    answer = take(superuser_client, payment, name=name)

    if name == "csv":
        row: list[Any] = list(table(answer)[0].values())
    else:
        sheet = load_workbook(io.BytesIO(b"".join(answer.streaming_content))).worksheets[0]
        assert {cell.data_type for cell in sheet[2]} <= {"s", "n", "d"}
        row = [cell.value for cell in sheet[2]]
    assert "'=1+1" in row
    assert "'@cmd" in row


@pytest.mark.parametrize("of", LISTS)
def test_every_list_of_money_is_exported(of: str, superuser_client: Client, charged_twice: Payment) -> None:
    refund(charged_twice, 2000, NEW_YEAR)
    make_payout(charged_twice)
    rows = list(MODELS[of]._default_manager.all())

    exported = table(take(superuser_client, *rows, of=of))

    assert len(exported) == len(rows) > 0
    assert str(charged_twice.pk) in {row.get("Payment") or row["Id"] for row in exported}
    detail = StaffAction.objects.get(action="export").detail
    assert (detail["count"], detail["format"], detail["filter"]) == (len(rows), "csv", {"rows": "chosen"})


def test_rows_of_other_lists_say_what_the_page_says(superuser_client: Client, charged_twice: Payment) -> None:
    incident, difference = charged_twice.incidents.get(), make_discrepancy(None)

    told = table(take(superuser_client, incident, of="incident"))[0]
    foreign = table(take(superuser_client, difference, of="discrepancy"))[0]

    assert (told["Kind"], told["State"], told["Amount"]) == ("charged twice: refund one", "Open", "5000")
    assert (foreign["Money at stake"], foreign["FeexPay's status"], foreign["Our status"]) == ("yes", "Failed", "")


@pytest.mark.parametrize("of", LISTS)
def test_slices_skip_and_repeat_no_row(
    of: str,
    superuser_client: Client,
    charged_twice: Payment,
    start_payment: StartPayment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(list_exports, "_SLICE", 1)
    make_discrepancy(start_payment().attempt)
    refund(charged_twice, 2000, NEW_YEAR)
    refund(charged_twice, 300, NEW_YEAR)
    make_payout(charged_twice)
    make_payout(charged_twice, amount=900)
    Refund.objects.filter(pk=Refund.objects.latest("pk").pk).update(amount=900)
    rows = list(MODELS[of]._default_manager.all())

    exported = [tuple(row.values()) for row in table(take(superuser_client, *rows, of=of))]

    assert len(set(exported)) == len(exported) == len(rows)


def test_export_costs_a_statement_for_each_slice(superuser_client: Client, player: User) -> None:
    def statements(count: int) -> int:
        rows = store_payments(player, count)
        with CaptureQueriesContext(connection) as seen:
            assert len(ids(take(superuser_client, *rows[:1], select_across="1"))) == Payment.objects.count()
        return sum('FROM "feexpay_payment"' in each["sql"] for each in seen.captured_queries)

    few = statements(4)

    assert statements(900) == few
    assert statements(1000) == few + 1


def test_export_needs_a_permission_of_its_own(staff_client: StaffClient, start_payment: StartPayment) -> None:
    payment = start_payment()
    looker, exporter = staff_client("view_payment"), staff_client("view_payment", "export_payment")

    assert "export_csv" not in looker.get(LIST).content.decode()
    assert "attachment" not in take(looker, payment).headers.get("Content-Disposition", "")
    assert not StaffAction.objects.exists()
    assert ids(take(exporter, payment)) == [str(payment.pk)]
    assert take(staff_client("export_payment"), payment).status_code == 403


def test_audit_list_says_who_exported_what(staff_client: StaffClient, player: User) -> None:
    client, payments = staff_client("view_payment", "export_payment"), store_payments(player, 3)

    ids(take(client, payments[0], query="?status=pending&q=Fatou", select_across="1"))

    row = StaffAction.objects.get()
    assert (row.action, row.actor_name, row.result) == ("export", "staff-1", "done")
    assert row.detail == {
        "list": "payment",
        "format": "csv",
        "count": 0,
        "filter": {"status": "pending", "searched": "yes", "rows": "all"},
    }


def test_too_many_rows_for_a_workbook_are_reported_on_the_list(
    superuser_client: Client, start_payment: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "XLSX_MAX_ROWS", 0)

    answer = superuser_client.post(
        LIST, {"action": "export_xlsx", ACTION_CHECKBOX_NAME: [start_payment().pk]}, follow=True
    )

    assert "at most 0 rows" in str(next(iter(answer.context["messages"])))
    assert not StaffAction.objects.exists()


def test_page_of_a_converted_payment_shows_both_sums_and_the_rate(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    page = superuser_client.get(page_of(start_payment(amount=1000, currency="EUR"))).content.decode()

    for words in ("10.00\u00a0EUR", "6\u00a0560\u00a0F\u00a0CFA", ">655.957<"):
        assert words in page
