"""Large exports and statements: asked for on a page, made by the background work, fetched by who asked for them."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Permission, User
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook
from pytest_django import Settings

from django_feexpay import report_files, table_files
from django_feexpay.admin import list_exports
from django_feexpay.background import tasks, worker
from django_feexpay.background.worker import Worker
from django_feexpay.models import Heartbeat, Payment, ReportFile, StaffAction
from tests.admin.conftest import StaffClient
from tests.api.test_history import store_payment, store_payments
from tests.payments.charging import charge, incident
from tests.payments.fakes import Clock

pytestmark = pytest.mark.django_db

LIST, FILES = "/admin/feexpay/payment/", "/admin/feexpay/payment/files/"
OCTOBER = "/admin/feexpay/credit/statement/?first_day=2026-10-01&last_day=2026-10-31"
EXPORTER = ("view_payment", "export_payment")


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> Path:
    """Small limits, and the default directory below the test's own."""
    settings.BASE_DIR = tmp_path
    return tmp_path / "feexpay-exports"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than two rows are a large table, and a part has three."""
    monkeypatch.setattr(report_files, "BACKGROUND_ABOVE", {"csv": 2, "xlsx": 2})
    monkeypatch.setattr(report_files, "_PART_ROWS", 3)
    monkeypatch.setattr(list_exports, "_SLICE", 3)


@pytest.fixture
def payments(player: User) -> list[Payment]:
    return store_payments(player, 10)


def ask(client: Client, *, name: str = "csv", query: str = "", **headers: str) -> Any:
    some = Payment.objects.values_list("pk", flat=True)[:1]
    form = {"action": f"export_{name}", ACTION_CHECKBOX_NAME: list(some), "select_across": "1"}
    return client.post(f"{LIST}{query}", form, headers=headers or None)


def fetch(client: Client, row: ReportFile) -> Any:
    return client.post(FILES, {"fetch": str(row.pk)})


def content(answer: Any) -> bytes:
    assert answer.status_code == 200, answer
    return b"".join(answer.streaming_content)


def table(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(answer).decode("utf-8-sig"), newline="")))


def stored(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def after(count: int) -> Callable[[], bool]:
    """A `stop` that is true from its nth question on."""
    asked = iter(range(count - 1))
    return lambda: next(asked, None) is None


def test_large_list_is_made_in_the_background_as_the_filter_was(
    staff_client: StaffClient, payments: list[Payment], player: User
) -> None:
    client, paid = staff_client(*EXPORTER), [store_payment(player, status="successful") for _ in range(4)]

    answer = ask(client, query="?status=successful")
    assert answer["Location"] == FILES
    report_files.work()

    rows = table(fetch(client, ReportFile.objects.get()))
    assert [row["Id"] for row in rows] == [
        str(each.pk) for each in sorted(paid, key=lambda p: (p.created_at, p.id))[::-1]
    ]


def test_search_term_of_the_list_is_kept_encrypted(staff_client: StaffClient, player: User) -> None:
    client = staff_client(*EXPORTER)
    [store_payment(player) for _ in range(3)]

    ask(client, query="?q=ayo")
    report_files.work()

    row = ReportFile.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT filter FROM feexpay_reportfile")
        assert b"ayo" not in bytes(cursor.fetchone()[0])
    assert "ayo" not in str(list(StaffAction.objects.values_list("detail")))
    assert len(table(fetch(client, row))) == 3


def test_file_is_the_same_as_the_one_that_the_browser_waits_for(
    staff_client: StaffClient, payments: list[Payment], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = staff_client(*EXPORTER)
    ask(client)
    report_files.work()
    made = content(fetch(client, ReportFile.objects.get()))

    monkeypatch.setattr(report_files, "BACKGROUND_ABOVE", {"csv": 100})

    assert content(ask(client)) == made


def test_small_lists_and_chosen_rows_come_at_once(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER)

    chosen = {"action": "export_csv", ACTION_CHECKBOX_NAME: [each.pk for each in payments[:5]]}
    assert len(table(client.post(LIST, chosen))) == 5
    assert not ReportFile.objects.exists()


def test_workbook_keeps_real_dates_numbers_and_words_of_the_user(staff_client: StaffClient, player: User) -> None:
    at = datetime(2026, 12, 31, 23, 30, 15, tzinfo=UTC)
    for _ in range(4):
        store_payment(player, at=at, amount=1050, currency="EUR", charged_amount=6888, description="=1+1")
    client = staff_client(*EXPORTER)

    ask(client, name="xlsx", **{"Accept-Language": "fr"})
    report_files.work()

    sheet = load_workbook(io.BytesIO(content(fetch(client, ReportFile.objects.get())))).worksheets[0]
    head = [cell.value for cell in sheet[1]]
    row = dict(zip(head, sheet[2], strict=True))
    assert sheet.max_row == 5
    assert row["Montant"].value == 10.5
    assert sheet["B2"].value == datetime(2027, 1, 1, 0, 30, 15)  # noqa: DTZ001
    assert "'=1+1" in [cell.value for cell in sheet[2]]
    assert "f" not in {cell.data_type for cell in sheet[2]}


def test_numbers_are_masked(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER)
    ask(client)
    report_files.work()

    text = content(fetch(client, ReportFile.objects.get())).decode()

    assert "••" in text
    assert "97000050" not in text.replace(" ", "")


def test_statement_of_many_rows_is_made_in_the_background(staff_client: StaffClient, player: User) -> None:
    for day in range(1, 5):
        incident(
            charge(player, datetime(2026, 10, day, 12, tzinfo=UTC), 5000, fee=85),
            "duplicate_charge",
            datetime(2026, 10, day, 13, tzinfo=UTC),
            5000,
        )
    client = staff_client("view_statement")

    assert client.post(OCTOBER, {"format": "xlsx"})["Location"] == FILES
    report_files.work()

    sheet = load_workbook(io.BytesIO(content(fetch(client, ReportFile.objects.get())))).worksheets[0]
    rows = list(sheet.iter_rows(min_row=2, values_only=True))
    assert [(row[0], row[5], row[7], row[10]) for row in rows] == [
        (datetime(2026, 10, day), 5000, 5000, 170)  # noqa: DTZ001
        for day in range(1, 5)
    ]


# --- who may ---------------------------------------------------------------------------------------------


def test_only_the_user_who_asked_sees_and_fetches_it(
    staff_client: StaffClient, superuser_client: Client, payments: list[Payment]
) -> None:
    asker, other = staff_client(*EXPORTER), staff_client(*EXPORTER)
    ask(asker)
    report_files.work()
    row = ReportFile.objects.get()

    for client in (other, superuser_client):
        assert row.file_name not in client.get(FILES).content.decode()
        assert fetch(client, row).status_code == 404
        assert client.post(FILES, {"delete": str(row.pk)}).status_code == 404
    assert fetch(asker, row).status_code == 200


def test_permission_is_needed_again_to_make_and_to_fetch(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER, "view_statement")
    export = Permission.objects.get(codename="export_payment")
    user = User.objects.get(username="staff-1")
    ask(client)
    report_files.work()
    ask(client, name="xlsx")
    user.user_permissions.remove(export)
    report_files.work()

    made, late = ReportFile.objects.order_by("created_at")

    assert fetch(client, made).status_code == 403
    assert (late.state, late.reason) == ("failed", "not_allowed")
    page = client.get(FILES).content.decode()
    assert 'name="fetch"' not in page
    assert "You no longer have the permission" in page


def test_request_and_fetch_are_in_the_audit_list(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER)
    ask(client, query="?status=pending")
    report_files.work()
    row = ReportFile.objects.get()
    content(fetch(client, row))

    asked, fetched = StaffAction.objects.order_by("id")

    assert (asked.action, asked.actor_name) == ("export", "staff-1")
    assert asked.detail == {
        "step": "file_asked_for",
        "list": "payment",
        "format": "csv",
        "count": 10,
        "file": str(row.pk),
        "filter": {"status": "pending", "rows": "all"},
    }
    assert (fetched.detail["step"], fetched.detail["file"]) == ("file_fetched", str(row.pk))


def test_a_user_may_not_wait_for_many_files(
    staff_client: StaffClient, payments: list[Payment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_files, "MAX_UNFINISHED", 1)
    client = staff_client(*EXPORTER)
    ask(client)

    answer = ask(client)

    assert answer["Location"] == LIST
    assert ReportFile.objects.count() == StaffAction.objects.count() == 1


def test_too_many_rows_for_a_workbook_are_told_at_once(
    staff_client: StaffClient, payments: list[Payment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "XLSX_MAX_ROWS", 5)

    client = staff_client(*EXPORTER)
    ask(client, name="xlsx")

    assert "at most 5 rows" in client.get(LIST).content.decode()
    assert not ReportFile.objects.exists()


# --- workers that die, and two at once -------------------------------------------------------------------


def test_file_goes_on_where_a_worker_stopped(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER)
    ask(client)

    report_files.work(after(2))
    half = ReportFile.objects.get()
    assert (half.state, half.rows_done, half.leased_until) == ("working", 3, None)
    report_files.work()

    row = ReportFile.objects.get()
    assert (row.state, row.rows_done, row.failure_count) == ("ready", 10, 0)
    assert len({each["Id"] for each in table(fetch(client, row))}) == 10


@pytest.mark.parametrize("name", ["csv", "xlsx"])
def test_worker_that_lost_its_claim_changes_nothing(
    name: str, staff_client: StaffClient, payments: list[Payment], clock: Clock, storage: Path
) -> None:
    """The first worker hangs after a part until its lease ended; then both write the next part."""
    client = staff_client(*EXPORTER)
    ask(client, name=name)
    slow = report_files.claim()
    assert slow is not None
    assert report_files.claim() is None

    clock.advance(report_files.LEASE.total_seconds() + 1)
    other = report_files.claim()
    assert other is not None
    report_files.make(other, lambda: False)
    files = stored(storage)
    report_files.make(slow, lambda: False)

    row = ReportFile.objects.get()
    assert (row.state, row.rows_done, row.failure_count) == ("ready", 10, 1)
    assert stored(storage) == files
    assert len(content(fetch(client, row))) > 100


def test_file_of_which_every_worker_dies_is_given_up(
    staff_client: StaffClient, payments: list[Payment], clock: Clock
) -> None:
    ask(staff_client(*EXPORTER))
    for _ in range(report_files.MAX_FAILURES):
        assert report_files.claim() is not None
        clock.advance(report_files.LEASE.total_seconds() + 1)

    report_files.work()

    row = ReportFile.objects.get()
    assert (row.state, row.reason) == ("failed", "gave_up")


def test_storage_that_fails_is_tried_again_later(
    staff_client: StaffClient, payments: list[Payment], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> str:
        raise OSError("No space left on device")

    ask(staff_client(*EXPORTER))
    with monkeypatch.context() as broken:
        broken.setattr(FileSystemStorage, "save", refuse)
        report_files.work()
    report_files.work()
    assert ReportFile.objects.get().state == "waiting"

    clock.advance(60)
    report_files.work()

    row = ReportFile.objects.get()
    assert (row.state, row.failure_count) == ("ready", 1)


def test_filter_that_no_longer_exists_is_told(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER)
    ask(client)
    row = ReportFile.objects.get()
    row.filter = report_files.Sealed.of({"query": "nonsense__id=1"})
    row.save()

    report_files.work()

    assert ReportFile.objects.get().reason == "not_possible"
    assert "cannot be exported" in client.get(FILES).content.decode()


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_worker_makes_files_in_its_sweeps(staff_client: StaffClient, payments: list[Payment]) -> None:
    ask(staff_client(*EXPORTER))

    with Worker() as running:
        running.sweep()

    assert ReportFile.objects.get().state == "ready"


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_two_workers_make_a_file_once(staff_client: StaffClient, payments: list[Payment], storage: Path) -> None:
    client = staff_client(*EXPORTER)
    ask(client)

    def run() -> None:
        try:
            report_files.work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    row = ReportFile.objects.get()
    assert (row.state, row.claim_number) == ("ready", 1)
    assert stored(storage) == sorted(row.parts)
    assert len(table(fetch(client, row))) == 10


def test_cluster_goes_on_while_a_file_is_due(staff_client: StaffClient, payments: list[Payment]) -> None:
    assert not tasks._is_work_due_soon()
    ask(staff_client(*EXPORTER))
    assert tasks._is_work_due_soon()
    report_files.work()
    assert not tasks._is_work_due_soon()


# --- the end of a file -----------------------------------------------------------------------------------


def test_file_is_deleted_after_its_days(
    staff_client: StaffClient, payments: list[Payment], clock: Clock, storage: Path
) -> None:
    client = staff_client(*EXPORTER)
    ask(client)
    ask(client, name="xlsx")
    report_files.work()
    assert stored(storage)

    clock.advance(timedelta(days=2).total_seconds() - 1)
    report_files.work()
    assert ReportFile.objects.count() == 2

    clock.advance(2)
    report_files.work()
    assert stored(storage) == []
    assert list(storage.iterdir()) == []
    assert not ReportFile.objects.exists()


def test_cancelled_file_is_made_no_further_and_deleted(
    staff_client: StaffClient, payments: list[Payment], storage: Path
) -> None:
    client = staff_client(*EXPORTER)
    ask(client)
    report_files.work(after(2))
    row = report_files.claim()
    assert row is not None

    client.post(FILES, {"delete": str(row.pk)})
    report_files.make(row, lambda: False)

    assert ReportFile.objects.get().rows_done == 3
    assert str(row.pk) not in client.get(FILES).content.decode()
    report_files.work()
    assert stored(storage) == []
    assert not ReportFile.objects.exists()


def test_files_of_a_deleted_user_are_deleted(staff_client: StaffClient, payments: list[Payment], storage: Path) -> None:
    ask(staff_client(*EXPORTER))
    report_files.work()
    User.objects.get(username="staff-1").delete()

    report_files.work()

    assert stored(storage) == []
    assert not ReportFile.objects.exists()


def test_pieces_that_a_dead_worker_left_are_deleted_too(
    staff_client: StaffClient, payments: list[Payment], storage: Path
) -> None:
    ask(staff_client(*EXPORTER))
    report_files.work()
    row = ReportFile.objects.get()
    (storage / str(row.pk) / "00009-1").write_bytes(b"left behind")

    report_files.cancel(row)
    report_files.work()

    assert stored(storage) == []


def test_file_that_cannot_be_deleted_keeps_no_other(
    staff_client: StaffClient, payments: list[Payment], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = staff_client(*EXPORTER)
    ask(client)
    ask(client, name="xlsx")
    report_files.work()
    stuck, other = ReportFile.objects.order_by("created_at")
    delete = FileSystemStorage.delete

    def fail_for_one(storage: FileSystemStorage, name: str) -> None:
        if name.startswith(str(stuck.pk)):
            raise PermissionError(name)
        delete(storage, name)

    monkeypatch.setattr(FileSystemStorage, "delete", fail_for_one)
    monkeypatch.setattr(report_files, "_DELETED_AT_ONCE", 1)
    report_files.cancel(stuck)
    report_files.cancel(other)

    for _ in range(200):  # which is tried is drawn by lot
        report_files.delete_expired()

    assert list(ReportFile.objects.all()) == [stuck]


def test_only_the_owner_of_the_process_can_read_the_directory(
    staff_client: StaffClient, payments: list[Payment], storage: Path
) -> None:
    ask(staff_client(*EXPORTER))
    report_files.work()

    assert {path.stat().st_mode & 0o077 for path in storage.rglob("*")} == {0}


# --- the page --------------------------------------------------------------------------------------------


def test_page_shows_progress_and_loads_itself_until_all_is_finished(
    staff_client: StaffClient, payments: list[Payment], clock: Clock
) -> None:
    client = staff_client(*EXPORTER)
    ask(client)
    report_files.work(after(2))
    Heartbeat.objects.create(name=worker.WORKER, beat_at=clock())

    page = client.get(FILES).content.decode()
    assert '<meta http-equiv="refresh" content="3">' in page
    assert '<progress max="10" value="3"' in page
    assert "No worker is running" not in page
    assert "<script>" not in page
    assert 'name="fetch"' not in page

    report_files.work()
    page = client.get(FILES).content.decode()
    assert "refresh" not in page.split("</head>")[0]
    assert 'name="fetch"' in page


def test_page_says_that_no_worker_runs(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER)
    ask(client)

    assert "No worker is running" in client.get(FILES).content.decode()


def test_file_that_is_on_another_host_is_told(
    staff_client: StaffClient, payments: list[Payment], storage: Path
) -> None:
    client = staff_client(*EXPORTER)
    ask(client)
    report_files.work()
    row = ReportFile.objects.get()
    for name in stored(storage):
        (storage / name).unlink()

    assert fetch(client, row)["Location"] == FILES
    assert "not in the storage of this server" in client.get(FILES).content.decode()


def test_page_costs_the_same_for_many_files(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER)

    def statements(count: int) -> int:
        for _ in range(count):
            ask(client)
            report_files.work()
        with CaptureQueriesContext(connection) as seen:
            assert client.get(FILES).status_code == 200
        return len(seen)

    statements(1)
    assert statements(1) == statements(8)


def test_file_under_way_is_not_sent(staff_client: StaffClient, payments: list[Payment]) -> None:
    client = staff_client(*EXPORTER)
    ask(client)

    assert fetch(client, ReportFile.objects.get()).status_code == 404
    assert client.post(FILES, {"fetch": "nonsense"}).status_code == 404
