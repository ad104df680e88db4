"""`feexpay_statement`: a month as text, CSV or XLSX."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from openpyxl import load_workbook

from django_feexpay.payments import statements
from tests.payments.charging import charge
from tests.payments.fakes import Clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ama")


def test_text_shows_the_sums_and_that_they_reconcile(player: User, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    charge(player, datetime(2026, 10, 7, tzinfo=UTC), 5000, fee=85)

    call_command("feexpay_statement", "--month", "2026-10")

    written = capfdbinary.readouterr().out.decode()
    assert written.startswith("2026-10-01 – 2026-10-31\n")
    assert "  net: 4\u00a0915\u00a0F\u00a0CFA\n" in written
    assert written.endswith("XOF: the gross is the sum of the credits, 5\u00a0000\u00a0F\u00a0CFA.\n")


def test_default_is_last_month(player: User, clock: Clock, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    clock.at = datetime(2026, 11, 29, tzinfo=UTC)

    call_command("feexpay_statement")

    assert capfdbinary.readouterr().out.decode() == ("2026-10-01 – 2026-10-31\nNo money was taken in this period.\n")


@pytest.mark.parametrize("name", ["csv", "xlsx"])
def test_file_of_a_period_and_a_provider(player: User, tmp_path: Path, name: str) -> None:
    charge(player, datetime(2026, 10, 7, tzinfo=UTC), 5000)
    charge(player, datetime(2026, 10, 7, tzinfo=UTC), 1000, provider="moov_bj")
    path = tmp_path / f"statement.{name}"

    period = ("--from", "2026-10-07", "--to", "2026-10-07")
    call_command("feexpay_statement", *period, "--provider", "moov_bj", "--format", name, "--output", str(path))

    if name == "csv":
        rows: list[tuple[object, ...]] = [tuple(row) for row in csv.reader(io.StringIO(path.read_text("utf-8-sig")))]
    else:
        rows = list(load_workbook(path).worksheets[0].iter_rows(values_only=True))
    assert [str(row[1]) for row in rows] == ["Code", "moov_bj"]
    assert str(rows[1][5]) == "1000"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--month", "October"], "write 2026-10"),
        (["--month", "2026-13"], "write 2026-10"),
        (["--from", "2026-10-01"], "both --from and --to"),
        (["--month", "2026-10", "--from", "2026-10-01", "--to", "2026-10-02"], "--month, or --from and --to"),
        (["--from", "2026-10-02", "--to", "2026-10-01"], "after the last"),
        (["--from", "yesterday", "--to", "2026-10-01"], "write 2026-10-01"),
    ],
)
def test_period_that_is_none_is_refused(options: list[str], expected: str) -> None:
    with pytest.raises(CommandError, match=expected):
        call_command("feexpay_statement", *options)


def test_command_fails_when_the_sums_differ(player: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cron job must notice. No path of the package makes such rows, so the sums are bent here."""
    monkeypatch.setattr(statements.Statement, "unreconciled", {"XOF": (0, 5000)})

    with pytest.raises(CommandError, match="feexpay_verify"):
        call_command("feexpay_statement", "--month", "2026-10")
