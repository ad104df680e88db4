"""`feexpay_export`: writes the table of the API to a file or a pipe."""

from __future__ import annotations

import csv
import io
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from openpyxl import load_workbook

from django_feexpay import exports
from django_feexpay.models import Payment
from django_feexpay.models.payment import PaymentQuerySet
from tests.api.test_history import store_payment

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

Export = Callable[..., list[list[str]]]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Run the command with a file, and return the rows without the header."""

    def run(*options: str) -> list[list[str]]:
        path = tmp_path / "payments.csv"
        call_command("feexpay_export", "--output", str(path), *options)
        head, *rows = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
        assert tuple(head) == exports.COLUMNS
        return rows

    return run


@pytest.fixture
def payments(db: None) -> dict[str, Payment]:
    ama, kofi = (User.objects.create_user(name) for name in ("ama", "kofi"))
    return {
        "first": store_payment(ama, at=NOON, merchant_reference="first", status="successful"),
        "second": store_payment(kofi, at=NOON + timedelta(hours=1), merchant_reference="second", provider_id="moov_bj"),
        "third": store_payment(
            ama, at=NOON + timedelta(days=1), merchant_reference="third", currency="EUR", status="failed"
        ),
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["third", "second", "first"]),
        (["--from", "2026-11-23T13:00:00+00:00"], ["third", "second"]),
        (["--from", "2026-11-23T14:00:00"], ["third", "second"]),  # in the time zone of Porto-Novo
        (["--from", "2026-11-24"], ["third"]),
        (["--to", "2026-11-24"], ["second", "first"]),
        (["--status", "successful"], ["first"]),
        (["--provider", "moov_bj"], ["second"]),
        (["--currency", "EUR"], ["third"]),
        (["--user", "ama"], ["third", "first"]),
        (["--user", "ama", "--status", "pending"], []),
    ],
)
def test_command_exports_the_matching_payments(
    export: Export, payments: dict[str, Payment], options: list[str], expected: list[str]
) -> None:
    place = exports.COLUMNS.index("merchant_reference")

    assert [row[place] for row in export(*options)] == expected


def test_workbook_holds_the_same_rows(export: Export, payments: dict[str, Payment], tmp_path: Path) -> None:
    path = tmp_path / "payments.xlsx"

    call_command("feexpay_export", "--format", "xlsx", "--output", str(path))

    rows = list(load_workbook(path).active.iter_rows(values_only=True, min_row=2))
    assert [["" if cell is None else str(cell) for cell in row] for row in rows] == export()


def test_without_a_file_it_writes_to_standard_output(
    payments: dict[str, Payment], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    call_command("feexpay_export")

    assert capfdbinary.readouterr().out == b"".join(exports.csv_chunks(Payment.objects.all()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--user", "nobody"], "There is no user 'nobody'."),
        (["--from", "yesterday"], "'yesterday' is not a date: write 2026-11-01"),
        (["--status", "sending"], "invalid choice"),
        (["--provider", "nowhere"], "invalid choice"),
        (["--format", "pdf"], "invalid choice"),
        (["--output", "/nowhere/payments.csv"], "/nowhere/payments.csv: No such file or directory"),
    ],
)
def test_wrong_option_is_reported(db: None, options: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("feexpay_export", *options)


def test_missing_xlsx_package_is_named(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(CommandError, match=r"pip install 'django-feexpay\[export\]'"):
        call_command("feexpay_export", "--format", "xlsx", "--output", "payments.xlsx")


def test_file_is_private_and_a_failed_export_replaces_nothing(
    payments: dict[str, Payment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "payments.csv"
    call_command("feexpay_export", "--output", str(path))
    before = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def half(chosen: PaymentQuerySet) -> Any:
        yield b"id,"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "FORMATS", {"csv": exports.Format("text/csv", half, half)})
    with pytest.raises(CommandError, match="No space left"):
        call_command("feexpay_export", "--output", str(path))

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
