"""The schema of every earlier version becomes today's by `migrate`, and its payments go on.

Each file of `schemas` was written by the code of its day (`python -m tools.schema_dump`): 2026-11-26 by the one with
migration 0006, the oldest from which the changelog describes an upgrade.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.upgrade.database import description

pytestmark = pytest.mark.postgres_only

SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
PROGRAM = Path(__file__).with_name("upgraded.py")


@pytest.fixture
def old_database(request: pytest.FixtureRequest, db: None) -> Iterator[str]:
    """The address of a database with the schema and the rows of a file."""
    given = connection.settings_dict
    server = f"postgres://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT']}"
    name = f"upgrade_{os.getpid()}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            with psycopg.connect(f"{server}/{name}", autocommit=True) as old:
                old.execute(request.param.read_bytes())
            yield f"{server}/{name}"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("old_database", SCHEMAS, ids=lambda path: path.stem, indirect=True)
def test_older_schema_migrates_and_its_payments_go_on(old_database: str) -> None:
    environment = {**os.environ, "DATABASE_URL": old_database, "DJANGO_SETTINGS_MODULE": "config.settings.testing"}
    done = subprocess.run([sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])

    assert found["statuses"] == {"paid": "successful", "open": "successful", "declined": "pending"}
    assert found["credits"] == [["open", 5000], ["paid", 5000]]
    assert found["missing_triggers"] == []
    for kind, lines in description().items():
        assert found["database"][kind] == lines, kind
