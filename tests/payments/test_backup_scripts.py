"""The scripts of sample_project/deploy that back the database up and restore it, on a real PostgreSQL."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from django_feexpay.models import Heartbeat
from tests import servers
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.test_invariants import settled
from tests.repository.tree import ROOT

SCRIPTS = ROOT / "sample_project" / "deploy" / "bin"

Script = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the account of PostgreSQL can enter; the folders of pytest are only ours."""
    with tempfile.TemporaryDirectory(prefix="feexpay-backup-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def run(folder: Path, place: Path, tmp_path: Path) -> Script:
    """Run a script as its service does, on the database of the tests."""
    account = servers.unprivileged_account()
    programs = servers.postgres_binaries(place, account)
    servers.hand_over(place, account)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    parts = connection.settings_dict
    address = f"{parts['USER']}:{parts['PASSWORD']}@{parts['HOST']}:{parts['PORT']}/{parts['NAME']}"
    (credentials / "DATABASE_URL").write_text(f"postgres://{address}\n")
    variables = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    variables |= {
        "BACKUP_DIR": str(folder),
        "CREDENTIALS_DIRECTORY": str(credentials),
        "DJANGO_SETTINGS_MODULE": "config.settings.testing",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "POSTGRES_PROGRAMS": str(programs),
        "PYTHONPATH": str(ROOT),
        "RESTORE_TEST_DIR": str(place),
        "SHOP_PYTHON": sys.executable,
        "SHOP_RELEASE": str(ROOT),
    }

    def script(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", str(SCRIPTS / name)], env=variables, capture_output=True, text=True, timeout=120, check=False
        )

    return script


def notes() -> set[str]:
    return set(Heartbeat.objects.values_list("name", flat=True))


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_scripts_back_up_restore_verify_and_tell_the_shop(
    run: Script, folder: Path, begin: Begin, gateway: ModelGateway
) -> None:
    for _ in range(3):
        settled(begin, gateway)
    now = timezone.now()
    monday = now - timedelta(days=21 + now.weekday())  # of a week that has no daily dumps any more
    times = {
        "old": now - timedelta(days=13),
        "week": monday,
        "same-week": monday + timedelta(days=1),
        "ended": now - timedelta(days=80),
    }
    for name, made_at in times.items():
        at, days = made_at.timestamp(), (now - made_at).days
        for path in (folder / f"shop-{100 - days:03}-{name}.dump", folder / f"shop-{100 - days:03}-{name}.dump.sha256"):
            path.touch()
            os.utime(path, (at, at))

    made = run("backup.sh")
    assert made.returncode == 0, made.stderr
    dump = max(folder.glob("shop-2*.dump"))
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    assert {path.name.split("-", 2)[-1] for path in folder.glob("shop-0*.dump")} == {"old.dump", "week.dump"}

    tested = run("restore-test.sh")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "restored and verified: 3 payments" in tested.stdout
    assert notes() == {"backup", "restore_test"}

    with connection.cursor() as cursor:  # what a person with the owner's role could do
        cursor.execute("ALTER TABLE feexpay_paymentevent DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM feexpay_paymentevent WHERE id = (SELECT min(id) FROM feexpay_paymentevent)")
        cursor.execute("ALTER TABLE feexpay_paymentevent ENABLE TRIGGER USER")
    assert run("backup.sh").returncode == 0
    broken = run("restore-test.sh")
    assert broken.returncode == 1
    assert "could not be restored and verified" in broken.stderr
    assert notes() == {"backup", "restore_test", "restore_test_failed"}

    newest = max(folder.glob("shop-2*.dump"))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert "its checksum is wrong" in run("restore-test.sh").stderr
