"""The audit list: what staff did is kept by name, found, exported and shown on the payment; numbers never are in it."""

from __future__ import annotations

import logging
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_feexpay.models import Attempt, Payment, StaffAction
from django_feexpay.payments import staff_actions
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.statements import Period
from tests.admin.conftest import StaffClient, StartPayment, page_of

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/staffaction/"
UNMASK = "/admin/feexpay/payment/unmask/?payment="
NOTE = "/admin/feexpay/payment/note/?payment="
NUMBER = "+2290197000050"


def rows_of(client: Client, **query: Any) -> list[StaffAction]:
    return list(client.get(LIST, query).context["cl"].result_list)


def noted(reason: str = "a note", **columns: Any) -> StaffAction:
    values: dict[str, Any] = {"actor": "7", "source": Source.ADMIN, "reason": reason}
    return staff_actions.record(staff_actions.Action.NOTE, **(values | columns))


# --- the list ----------------------------------------------------------------------------------------


def test_list_tells_who_did_what_to_which_record_and_why(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()
    superuser_client.post(f"{NOTE}{payment.pk}", {"reason": "The payer called twice"})

    page = superuser_client.get(LIST).content.decode()

    assert "The payer called twice" in page
    assert "wrote a note" in page
    assert f'<a href="{page_of(payment)}">' in page
    assert ">boss<" in page


def test_list_links_only_to_records_that_the_reader_may_view(
    superuser_client: Client, staff_client: StaffClient, start_payment: StartPayment
) -> None:
    payment = start_payment()
    superuser_client.post(f"{NOTE}{payment.pk}", {"reason": "x"})
    row = StaffAction.objects.get()
    reader = staff_client("view_staffaction")

    for page in (reader.get(LIST), reader.get(f"{LIST}{row.pk}/change/")):
        assert f"payment {str(payment.pk)[:8]}" in page.content.decode()
        assert page_of(payment) not in page.content.decode()


@pytest.mark.parametrize("term", ["boss", "BOSS", "payment"])
def test_list_is_searched_by_user_name_and_by_payment(
    superuser_client: Client, start_payment: StartPayment, term: str
) -> None:
    payment = start_payment()
    noted("another's")
    superuser_client.post(f"{NOTE}{payment.pk}", {"reason": "mine"})

    assert [row.reason for row in rows_of(superuser_client, q=str(payment.pk) if term == "payment" else term)] == [
        "mine"
    ]


def test_list_is_filtered_by_person_and_action(superuser_client: Client, start_payment: StartPayment) -> None:
    noted("another's")
    superuser_client.post(f"{NOTE}{start_payment().pk}", {"reason": "mine"})

    assert [row.reason for row in rows_of(superuser_client, actor=superuser_client.session["_auth_user_id"])] == [
        "mine"
    ]
    assert len(rows_of(superuser_client, action__exact="note")) == 2
    assert rows_of(superuser_client, action__exact="export") == []


def test_list_is_filtered_by_last_month(superuser_client: Client) -> None:
    last_month = Period.last_month()
    late = last_month.end - timedelta(seconds=1)
    StaffAction.objects.create(action="note", actor="0", source=Source.ADMIN, reason="last month's", created_at=late)
    noted("today's")

    page = superuser_client.get(LIST).content.decode()
    link = f"?created_at__from={last_month.first_day}&amp;created_at__to={last_month.last_day}"

    assert f'<a href="{link}">Last month</a>' in page
    rows = superuser_client.get(LIST + unescape(link)).context["cl"].result_list
    assert [row.reason for row in rows] == ["last month's"]


def test_list_costs_the_same_for_few_and_for_many_rows(superuser_client: Client) -> None:
    def statements(rows: int) -> int:
        for _ in range(rows):
            noted()
        with CaptureQueriesContext(connection) as seen:
            assert superuser_client.get(LIST).status_code == 200
        return len(seen)

    statements(1)  # content types and permissions are read once a process

    assert statements(4) == statements(30) <= 12


def test_export_of_the_list_needs_its_own_permission_and_is_a_row_itself(staff_client: StaffClient) -> None:
    row = noted("=HYPERLINK(1)")
    form = {"action": "export_csv", ACTION_CHECKBOX_NAME: [row.pk]}

    assert "attachment" not in staff_client("view_staffaction").post(LIST, form).headers.get("Content-Disposition", "")
    answer: Any = staff_client("view_staffaction", "export_staffaction").post(LIST, form)

    file = b"".join(answer.streaming_content).decode()
    assert "'=HYPERLINK(1)" in file
    assert StaffAction.objects.latest("id").detail["list"] == "staffaction"


def test_history_of_a_record_tells_what_staff_did(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()
    superuser_client.post(f"{NOTE}{payment.pk}", {"reason": "The payer called"})

    page = superuser_client.get(f"/admin/feexpay/payment/{payment.pk}/history/").content.decode()

    assert "The payer called" in page
    assert "boss" in page


# --- notes -------------------------------------------------------------------------------------------


def test_note_is_shown_in_the_timeline_by_name(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()

    superuser_client.post(f"{NOTE}{payment.pk}", {"reason": "Waits for his brother's phone"})

    page = superuser_client.get(page_of(payment)).content.decode()
    assert "Waits for his brother&#x27;s phone" in page
    assert "<strong>boss</strong> <span>wrote a note</span>" in page


def test_note_needs_its_permission(staff_client: StaffClient, start_payment: StartPayment) -> None:
    payment = start_payment()

    assert staff_client("view_payment").post(f"{NOTE}{payment.pk}", {"reason": "x"}).status_code == 403
    assert not StaffAction.objects.exists()


# --- numbers -----------------------------------------------------------------------------------------


def test_look_up_keeps_the_payment_that_was_found_and_no_number(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    payment = start_payment()

    superuser_client.post("/admin/feexpay/payment/find/", {"phone": "01 97 00 00 50"})
    superuser_client.post("/admin/feexpay/payment/find/", {"phone": "01 97 00 00 51"})

    found, nothing = StaffAction.objects.order_by("id")
    assert (found.action, found.payment_id, found.detail) == ("look_up_number", payment.pk, {"found": 1})
    assert (nothing.action, nothing.payment_id, nothing.detail) == ("look_up_number", None, {"found": 0})
    assert "970000" not in repr([vars(found), vars(nothing)]).replace(" ", "")


def test_unmask_shows_the_number_once_after_a_reason(
    staff_client: StaffClient, start_payment: StartPayment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    payment = start_payment()
    client = staff_client("view_payment", "unmask_number")

    asked = client.get(f"{UNMASK}{payment.pk}")
    shown = client.post(f"{UNMASK}{payment.pk}", {"reason": "To give the second charge back"})

    assert NUMBER not in asked.content.decode()
    assert NUMBER in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    row = StaffAction.objects.get()
    assert (row.action, row.result, row.payment_id) == ("unmask", "done", payment.pk)
    assert row.reason == "To give the second charge back"
    for written in (caplog.text, repr(vars(row)), client.get(page_of(payment)).content.decode()):
        assert "97000050" not in written


def test_unmask_without_a_reason_shows_nothing(superuser_client: Client, start_payment: StartPayment) -> None:
    answer = superuser_client.post(f"{UNMASK}{start_payment().pk}", {"reason": " "})

    assert NUMBER not in answer.content.decode()
    assert not StaffAction.objects.exists()


def test_unmask_says_when_the_number_was_erased(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()
    Attempt.objects.filter(payment=payment).update(msisdn_sealed=None)

    page = superuser_client.post(f"{UNMASK}{payment.pk}", {"reason": "He called"}).content.decode()

    assert "The number was erased" in page
    assert StaffAction.objects.get().result == "skipped"


@pytest.mark.parametrize("held", [("view_payment",), ("unmask_number",)])
def test_unmask_needs_both_permissions(
    held: tuple[str, ...], staff_client: StaffClient, start_payment: StartPayment
) -> None:
    payment = start_payment()
    client = staff_client(*held)

    assert client.get(f"{UNMASK}{payment.pk}").status_code == 403
    assert client.post(f"{UNMASK}{payment.pk}", {"reason": "x"}).status_code == 403
    assert not StaffAction.objects.exists()


def test_unmask_takes_one_payment_and_is_no_action_of_the_list(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    first, second = start_payment(), start_payment(phone="+229 01 97 00 00 51")

    answer = superuser_client.post(f"{UNMASK}{first.pk}&payment={second.pk}", {"reason": "x"})

    assert (NUMBER in answer.content.decode()) + ("+2290197000051" in answer.content.decode()) == 1
    assert "unmask" not in {
        str(name)
        for name, _ in superuser_client.get("/admin/feexpay/payment/").context["action_form"].fields["action"].choices
    }
    assert superuser_client.get(f"{UNMASK}nothing").status_code == 404


def test_payment_page_costs_the_same_for_few_and_many_actions(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    payment = Payment.objects.get(pk=start_payment().pk)

    def statements(rows: int) -> int:
        for _ in range(rows):
            noted(target=payment)
        with CaptureQueriesContext(connection) as seen:
            assert superuser_client.get(page_of(payment)).status_code == 200
        return len(seen)

    statements(1)

    assert statements(2) == statements(20)
