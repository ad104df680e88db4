"""`migrate feexpay <any migration>` works, one step after the other, back to zero and forward again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection

from django_feexpay.catalogue.providers import CATALOGUE
from tests.sandbox.running import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

TIMEOUT_SECONDS = 300
SCRATCH = "feexpay_migration_steps"


@pytest.fixture
def empty_database(tmp_path: Path) -> Iterator[str]:
    """The URL of a new database without tables, on the same engine as the suite."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path}/steps.sqlite3"
        return
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {SCRATCH}")
        cursor.execute(f"CREATE DATABASE {SCRATCH}")
        yield urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{SCRATCH}"))
        cursor.execute(f"DROP DATABASE {SCRATCH}")


def test_each_migration_can_be_reversed_and_applied_again(empty_database: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project",
        "DATABASE_URL": empty_database,
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "FEEXPAY_FIELD_KEYS": ",".join(settings.FEEXPAY["FIELD_KEYS"]),
        "FEEXPAY_HASH_KEY": settings.FEEXPAY["HASH_KEY"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.payments.migrate_steps"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    steps = done.stdout.splitlines()
    assert steps[-1] == f"{len(CATALOGUE)} providers"
    assert "zero" in steps
    assert steps.count("0001_initial") == 2
