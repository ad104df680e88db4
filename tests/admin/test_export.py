"""Exports from the admin, with their permission; and the page of a converted payment."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client

from django_feexpay import exports
from django_feexpay.models import Payment, StaffAction
from tests.admin.conftest import StaffClient, StartPayment, page_of

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/payment/"


def take(client: Client, *payments: Payment, name: str = "csv", query: str = "", **more: str) -> Any:
    form = {"action": f"export_{name}", ACTION_CHECKBOX_NAME: [payment.pk for payment in payments], **more}
    return client.post(LIST + query, form)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    head, *rows = csv.reader(io.StringIO(b"".join(answer.streaming_content).decode(), newline=""))
    assert tuple(head) == exports.COLUMNS
    return [row[0] for row in rows]


def test_chosen_payments_come_newest_first_and_masked(boss: Client, start_payment: StartPayment) -> None:
    older, _, newer = start_payment(), start_payment(phone="01 97 00 00 51"), start_payment()

    answer = take(boss, older, newer)

    content = b"".join(answer.streaming_content)
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["id"] for row in rows] == [str(newer.pk), str(older.pk)]
    assert {row["phone"] for row in rows} == {"'+229 01 •• •• •• 50"}


def test_select_all_takes_the_whole_filtered_list(boss: Client, start_payment: StartPayment) -> None:
    one = start_payment(merchant_reference="order-x", phone="01 97 00 00 52")
    start_payment()

    assert ids(take(boss, one, query="?q=order-x", select_across="1")) == [str(one.pk)]
    assert len(ids(take(boss, one, select_across="1"))) == 2


def test_workbook_has_the_zip_signature(boss: Client, start_payment: StartPayment) -> None:
    answer = take(boss, start_payment(), name="xlsx")

    assert b"".join(answer.streaming_content).startswith(b"PK")


def test_export_needs_a_permission_of_its_own(staff_client: StaffClient, start_payment: StartPayment) -> None:
    payment = start_payment()
    looker, exporter = staff_client("view_payment"), staff_client("view_payment", "export_payment")

    assert "export_csv" not in looker.get(LIST).content.decode()
    assert "attachment" not in take(looker, payment).headers.get("Content-Disposition", "")
    assert ids(take(exporter, payment)) == [str(payment.pk)]
    assert take(staff_client("export_payment"), payment).status_code == 403


def test_audit_list_keeps_who_exported_how_many_and_the_filter_but_no_search_term(
    boss: Client, start_payment: StartPayment
) -> None:
    ids(take(boss, start_payment(), query="?q=ayo&currency=XOF"))

    action = StaffAction.objects.get()
    assert (action.action, action.actor_name, action.payment) == ("export", "boss", None)
    assert action.detail == {
        "list": "payment",
        "format": "csv",
        "count": 1,
        "filter": {"currency": "XOF"},
        "searched": True,
    }


def test_too_many_rows_for_a_workbook_are_reported_on_the_list(
    boss: Client, start_payment: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "XLSX_MOST_ROWS", 0)

    answer = boss.post(LIST, {"action": "export_xlsx", ACTION_CHECKBOX_NAME: [start_payment().pk]}, follow=True)

    assert "at most 0 payments" in str(next(iter(answer.context["messages"])))


def test_page_of_a_converted_payment_shows_both_sums_and_the_rate(boss: Client, start_payment: StartPayment) -> None:
    page = boss.get(page_of(start_payment(amount=1000, currency="EUR"))).content.decode()

    for words in ("10.00 EUR", "6 560 F CFA", ">655.957<"):
        assert words in page
