"""The statement's page and files: permission, period in the address, real dates and numbers, the audit list."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from django_feexpay.admin.staff_actions import action_text
from django_feexpay.models import Attempt, Discrepancy, StaffAction
from tests.admin.conftest import StaffClient, make_discrepancy
from tests.admin.recording_transport import RecordingGateway
from tests.payments.charging import charge, incident

pytestmark = pytest.mark.django_db

OCTOBER = "/admin/feexpay/credit/statement/?first_day=2026-10-01&last_day=2026-10-31"


def october(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 10, day, hour, tzinfo=UTC)


@pytest.fixture
def charges(player: User) -> None:
    payment = charge(player, october(7, 23), 5000, fee=85)
    incident(payment, "duplicate_charge", october(9), 5000)
    charge(player, october(10), 1000, fee=17, provider="moov_bj")


def rows_of(answer: Any) -> list[list[str]]:
    content = b"".join(answer.streaming_content)
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_page_shows_providers_days_totals_and_the_check(staff_client: StaffClient, charges: None) -> None:
    page = staff_client("view_statement").get(OCTOBER).content.decode()

    for words in (
        "MTN",
        "MTN Mobile Money (Benin)",
        '5\u00a0000\u00a0F\u00a0CFA</span> <span class="feexpay-count">(1)</span>',
        "9\u00a0830\u00a0F\u00a0CFA",
        "983\u00a0F\u00a0CFA",
        "10\u00a0813\u00a0F\u00a0CFA",
    ):
        assert words in page, words
    assert "XOF: the gross is the sum of the credits, 6\u00a0000\u00a0F\u00a0CFA." in page
    assert "8\u00a0Oct\u00a02026" in page  # 23:00 UTC on the 7th is the 8th in Porto-Novo


def test_without_a_period_the_page_is_of_last_month(superuser_client: Client) -> None:
    answer = superuser_client.get("/admin/feexpay/credit/statement/")

    form = answer.context["form"]
    assert (form.cleaned_data["last_day"] - form.cleaned_data["first_day"]).days in range(27, 31)
    assert form.cleaned_data["first_day"].day == 1
    assert "No money was taken in this period." in answer.content.decode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("first_day=2026-10-31&last_day=2026-10-01", "The first day is after the last."),
        ("first_day=2025-01-01&last_day=2026-10-01", "A statement has at most 366 days."),
        ("first_day=soon&last_day=2026-10-01", "Enter a valid date."),
        ("first_day=2026-10-01&last_day=2026-10-31&provider=nobody", "Select a valid choice."),
    ],
)
def test_period_that_is_none_is_told_on_the_page(superuser_client: Client, query: str, expected: str) -> None:
    answer = superuser_client.get(f"/admin/feexpay/credit/statement/?{query}")

    assert answer.status_code == 200
    assert expected in answer.content.decode()


def test_statement_has_a_permission_of_its_own(staff_client: StaffClient, charges: None) -> None:
    reader, other = staff_client("view_statement"), staff_client("view_credit", "view_payment", "export_payment")

    assert reader.get(OCTOBER).status_code == 200
    assert other.get(OCTOBER).status_code == 403
    assert other.post(OCTOBER, {"format": "csv"}).status_code == 403
    for page in ("/admin/feexpay/payment/", "/admin/feexpay/credit/"):
        assert "/statement/" not in other.get(page).content.decode()
        assert "/statement/" in staff_client("view_payment", "view_credit", "view_statement").get(page).content.decode()
    assert not StaffAction.objects.exists()


def test_incidents_are_linked_for_those_who_may_read_them(staff_client: StaffClient, charges: None) -> None:
    link = 'href="/admin/feexpay/incident/"'

    assert link not in staff_client("view_statement").get(OCTOBER).content.decode()
    assert link in staff_client("view_statement", "view_incident").get(OCTOBER).content.decode()


def test_csv_has_a_row_for_each_day_and_heads_in_the_users_language(superuser_client: Client, charges: None) -> None:
    english = rows_of(superuser_client.post(OCTOBER, {"format": "csv"}))
    french = rows_of(superuser_client.post(OCTOBER, {"format": "csv"}, headers={"Accept-Language": "fr"}))

    assert english[0][:6] == ["Day", "Code", "Provider", "Currency", "Credits", "Gross"]
    assert french[0][:6] == ["Jour", "Code", "Moyen de paiement", "Devise", "Crédits", "Brut"]
    assert [row[:2] + row[4:] for row in english[1:]] == [
        ["2026-10-10", "moov_bj", "1", "1000", "0", "0", "0", "0", "17", "0", "0", "983"],
        ["2026-10-08", "mtn_bj", "1", "5000", "0", "0", "0", "0", "85", "0", "0", "4915"],
        ["2026-10-09", "mtn_bj", "0", "0", "1", "5000", "0", "0", "85", "0", "0", "4915"],
    ]


def test_workbook_has_real_dates_and_numbers(superuser_client: Client, charges: None) -> None:
    answer = superuser_client.post(f"{OCTOBER}&provider=moov_bj", {"format": "xlsx"})

    sheet = load_workbook(io.BytesIO(b"".join(answer.streaming_content))).worksheets[0]
    rows = list(sheet.iter_rows(min_row=2, values_only=True))
    assert rows == [(datetime(2026, 10, 10), "moov_bj", "Moov Money", "XOF", 1, 1000, 0, 0, 0, 0, 17, 0, 0, 983)]  # noqa: DTZ001
    assert sheet["A2"].is_date


def test_file_leaves_a_row_in_the_audit_list(superuser_client: Client, charges: None) -> None:
    rows_of(superuser_client.post(f"{OCTOBER}&provider=mtn_bj", {"format": "csv"}))

    row = StaffAction.objects.get()
    assert (row.action, row.actor_name, row.source) == ("export", "boss", "admin")
    assert row.detail == {
        "list": "statement",
        "format": "csv",
        "count": 2,
        "filter": {"first_day": "2026-10-01", "last_day": "2026-10-31", "provider": "mtn_bj"},
    }


def test_reading_the_page_costs_the_same_for_many_credits(
    superuser_client: Client, player: User, charges: None
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert superuser_client.get(OCTOBER).status_code == 200
        return len(seen)

    count()
    few = count()
    for day in range(1, 30):
        charge(player, october(day), 100)

    assert count() == few <= 12


# --- beside FeexPay ------------------------------------------------------------------------------------


@pytest.fixture
def difference(player: User) -> Discrepancy:
    """FeexPay took 5 000 F of a payment that is credited with 4 000 F."""
    attempt = charge(player, october(10), 4000).attempt
    Attempt.objects.filter(pk=attempt.pk).update(sent_at=october(10))
    return make_discrepancy(attempt, kind="amount", our_status="successful", our_amount=4000, their_word="successful")


def test_open_differences_stand_on_the_page_with_what_they_mean(
    superuser_client: Client, difference: Discrepancy
) -> None:
    page = superuser_client.get(OCTOBER).content.decode()

    assert f'href="/admin/feexpay/discrepancy/{difference.pk}/change/">another amount</a>' in page
    assert "1\u00a0000\u00a0F\u00a0CFA" in page
    assert "32 days have no complete comparison" in page  # the local month touches 32 days of UTC
    assert "No difference is open." not in page


def test_differences_are_no_links_for_those_who_may_not_follow_them(
    staff_client: StaffClient, difference: Discrepancy
) -> None:
    page = staff_client("view_statement").get(OCTOBER).content.decode()

    assert "another amount" in page
    for model in ("discrepancy", "comparison", "payment", "incident"):
        assert f'href="/admin/feexpay/{model}/' not in page


def test_balance_is_asked_for_only_by_its_button(superuser_client: Client, gateway: RecordingGateway) -> None:
    gateway.balances = {"MTN BENIN": "12500", "MOOV BENIN": "0"}
    superuser_client.get(OCTOBER)
    assert gateway.balance_count == 0

    page = superuser_client.post(OCTOBER, {"ask": "balance"}).content.decode()

    assert gateway.balance_count == 1
    asked = StaffAction.objects.get()
    assert (asked.action, asked.result, action_text(asked)) == ("reconcile", "done", "asked FeexPay for the balance")
    assert "MTN BENIN" in page
    assert "12\u00a0500" in page


def test_balance_that_feexpay_does_not_give_is_told(superuser_client: Client, gateway: RecordingGateway) -> None:
    gateway.unreachable = True

    page = superuser_client.post(OCTOBER, {"ask": "balance"}).content.decode()

    assert "FeexPay did not answer with the balance." in page
    assert StaffAction.objects.get().result == "failed"


def test_empty_balance_is_told(superuser_client: Client, gateway: RecordingGateway) -> None:
    assert "FeexPay names no balance." in superuser_client.post(OCTOBER, {"ask": "balance"}).content.decode()
