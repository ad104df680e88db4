"""Payments through pgbouncer in transaction mode, with the file of sample_project/deploy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.tree import ROOT
from tools.deployment import pgbouncer

#: A part of the hard core for every run; `python -m tools.deployment.pgbouncer` runs all of it.
PART = (
    "tests/payments/test_concurrency.py::test_fifty_requests_with_one_key_start_one_payment_and_send_one_prompt",
    "tests/payments/test_leases.py",
    "tests/api/test_live_status.py::test_each_move_announces_its_payment_once",
)


def test_named_tests_exist() -> None:
    for name in (*PART, *pgbouncer.HARD_CORE):
        path, _, function = name.partition("::")
        assert f"def {function}" in Path(ROOT, path).read_text()


def test_payments_survive_transaction_pooling() -> None:
    if pgbouncer.program() is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    command = [sys.executable, "-m", "tools.deployment.pgbouncer", *PART]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "PYTEST_"))}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
