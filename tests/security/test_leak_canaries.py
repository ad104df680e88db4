"""No marker secret and no marker number is in any log, table, report, page or metric, after a walk through everything.

The walk (leak_walk.py) is a process with the production settings of a test server, beside a worker and a cluster. It
meets each entry point as usual and with an injected bug.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker
from shop.models import CoinPack

from tests.repository.tree import ROOT
from tests.sandbox.running import SHOP_ID, run_sandbox
from tests.security import canaries
from tests.security.canaries import PAYER, found_in

pytestmark = [pytest.mark.django_db, pytest.mark.postgres_only]


#: The files that the walk writes.
WRITTEN = ("log", "sentry", "mail", "answers", "commands", "queue")


@dataclass(frozen=True)
class Walk:
    """`kept`: what was left behind, by place. `steps`: what was done, with its result. `token`: the player's."""

    kept: dict[str, str]
    steps: dict[str, object]
    token: str


@pytest.fixture(scope="module")
def walk(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("leaks")
    with django_db_blocker.unblock(), run_sandbox(f"--api-key={canaries.API_KEY}") as sandbox:
        packs = list(CoinPack.objects.all())
        try:
            program = [sys.executable, "-m", "tests.security.leak_walk"]
            environment = _environment(folder, sandbox.base_url)
            done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            result = json.loads((folder / "steps").read_text())
            kept = {name: (folder / name).read_text() for name in WRITTEN}
            kept |= {"streams": done.stdout + done.stderr, "database": _rows()}
            yield Walk(kept, result["steps"], result["token"])
        finally:
            call_command("flush", interactive=False, verbosity=0)
            for pack in packs:
                pack.pk = None  # the emptied table counts from 1 again
            CoinPack.objects.bulk_create(packs)


def _environment(folder: Path, sandbox_url: str) -> dict[str, str]:
    database = connection.settings_dict
    account = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sample_project'}",
        "DJANGO_SETTINGS_MODULE": "tests.security.leak_settings",
        "ENV_FILE": "",
        "LEAKS_FOLDER": str(folder),
        "LEAKS_SANDBOX": sandbox_url,
        "DATABASE_URL": f"postgres://{account}/{database['NAME']}",
        "ALLOWED_HOSTS": "shop.example",
        "SECRET_KEY": canaries.SECRET_KEY,
        "FEEXPAY_ENVIRONMENT": "staging",
        "FEEXPAY_BASE_URL": f"{sandbox_url}/api",
        "FEEXPAY_API_KEY": canaries.API_KEY,
        "FEEXPAY_SHOP_ID": SHOP_ID,
        "FEEXPAY_FIELD_KEYS": canaries.FIELD_KEY,
        "FEEXPAY_HASH_KEY": canaries.HASH_KEY,
        "FEEXPAY_WEBHOOK_MODES": "status,header,url_token",
        "FEEXPAY_WEBHOOK_SECRETS": f"header:{canaries.HEADER},url_token:{canaries.URL_TOKEN}",
        "FEEXPAY_PROMPTS_PER_PHONE": "0",
    }


def _rows() -> str:
    """Every cell of every table, the queue's included; bytes as text."""
    cells: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                cells += [bytes(cell).decode("latin-1") if isinstance(cell, memoryview) else str(cell) for cell in row]
    return "\n".join(cells)


@pytest.mark.parametrize("place", [*WRITTEN, "streams", "database"])
def test_no_marker_is_in(walk: Walk, place: str) -> None:
    assert found_in(walk.kept[place], also={"bearer token": walk.token}) == set()


def test_walk_met_every_entry_point_and_every_bug(walk: Walk) -> None:
    """Otherwise nothing was found because nothing was done."""
    crashed = {step for step, result in walk.steps.items() if step.startswith("crash")}
    assert {step for step, result in walk.steps.items() if result == 500} == crashed
    assert {step for step, result in walk.steps.items() if result == 404} == {"line break in an address"}
    assert len(crashed) > 10
    assert walk.kept["sentry"].count("InjectedError") > len(crashed)
    assert walk.kept["mail"].count("InjectedError") > len(crashed)
    assert (walk.steps["checkout start"], walk.steps["checkout with a wrong number"]) == (302, 422)
    assert (walk.steps["webhook"], walk.steps["retry"], walk.steps["history/export/?format=csv"]) == (200, 201, 200)
    for command in ("feexpay_worker", "qcluster", "feexpay_export", "feexpay_export_subject", "feexpay_erase_subject"):
        assert (command, walk.steps[command]) == (command, 0)
    assert 'INSERT INTO "feexpay_attempt"' in walk.kept["log"]
    assert "feexpay_worker is running" in walk.kept["commands"]
    assert "'no time'" in walk.kept["queue"]
    assert "Traceback" in walk.kept["queue"]


def test_line_breaks_of_a_client_begin_no_log_line(walk: Walk) -> None:
    lines = walk.kept["log"].splitlines()

    assert [line for line in lines if line.lstrip().startswith(canaries.FORGED_LINE)] == []
    assert [line for line in lines if canaries.FORGED_LINE in line]


def test_a_masked_number_is_shown_and_is_no_finding(walk: Walk) -> None:
    assert "+229 01 •• •• •• 50" in walk.kept["answers"]


# --- the search finds what is there ------------------------------------------------------------------------

GROUPED = ("01 61 84 39 50", "01.61.84.39.50", "01-61-84-39-50", "61 84 39 50", "(+229) 0161 84 39 50", "22961843950")


def planted(value: str) -> dict[str, str]:
    raw = value.encode()
    return {
        "plain": f'{{"x": "{value}"}}',
        "in the middle": f"abc{value}def" if not value[0].isdigit() else f"abc {value}def",
        "url-encoded": quote(value, safe=""),
        "form-encoded": f"a=b&c={quote_plus(value)}&d",
        "every character url-encoded": "".join(f"%{byte:02X}" for byte in raw),
        "base64": base64.b64encode(raw).decode(),
        "base64, one byte later": base64.b64encode(b"x" + raw + b"yz").decode(),
        "base64, two bytes later": base64.urlsafe_b64encode(b"xy" + raw + b"z").decode(),
        "hexadecimal": raw.hex(),
        "escaped": "".join(f"\\u{ord(letter):04x}" for letter in value),
    }


@pytest.mark.parametrize("name", canaries.TEXTS)
def test_search_finds_a_planted_secret(name: str) -> None:
    for writing, text in planted(canaries.TEXTS[name]).items():
        assert (writing, name in found_in(f"2026-11-29 INFO {text} ok")) == (writing, True)


def test_search_finds_a_planted_number_in_every_writing() -> None:
    name = f"number {PAYER.written}"
    for value in (PAYER.written, PAYER.digits, PAYER.national, PAYER.old):
        for writing, text in planted(value).items():
            assert (value, writing, name in found_in(f"user=7 {text} ok")) == (value, writing, True)
    for value in GROUPED:
        assert (value, name in found_in(f"payer {value}.")) == (value, True)


def test_search_finds_nothing_in_usual_texts() -> None:
    assert found_in("+229 01 •• •• •• 50 at 2026-11-29T10:44:01.618439Z 6184395 161843950123 0d0f0c3e-8a41") == set()


def test_search_finds_what_a_careless_line_writes(walk: Walk) -> None:
    """A number planted in the kept log, and a secret in the dump, as a careless line would write them."""
    assert found_in(walk.kept["log"][-100_000:] + f"\nINFO paid by {PAYER.written}") == {f"number {PAYER.written}"}
    assert found_in(walk.kept["database"][-100_000:] + f"\n{{'key': '{canaries.API_KEY}'}}") == {"API key"}
