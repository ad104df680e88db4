"""The import contracts of pyproject.toml are kept, and each detects a forbidden import."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.tree import ROOT, python_files, relative

LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT_IMPORTS, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code that the contracts cover. Tests add forbidden imports to it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("django_feexpay", "sample_project"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3*"))
    return tmp_path


def test_import_contracts_are_kept() -> None:
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "forbidden_import", "contract"),
    [
        ("models/payment.py", "import django_feexpay.payments.ledger", "Imports go down only"),
        ("webhooks/__init__.py", "import django_feexpay.api", "Imports go down only"),
        ("payments/ledger.py", "import django_feexpay.notifications", "Imports go down only"),
        ("gateway/errors.py", "import django.conf", "gateway, secrets, catalogue and lifecycle import no Django"),
        ("lifecycle.py", "import django.db", "gateway, secrets, catalogue and lifecycle import no Django"),
        ("payments/ledger.py", "import rest_framework", "payments imports no entry point and no queue"),
        ("models/payment.py", "import django_feexpay.gateway.reports", "import no gateway"),
        ("payments/ledger.py", "import requests", "speaks HTTP"),
        ("payments/ledger.py", "import django_q", "Only background/tasks.py knows the queue"),
        ("sandbox/__init__.py", "import django_feexpay.gateway.errors", "The sandbox shares nothing"),
        ("sandbox/__init__.py", "import django.conf", "runs without Django"),
        ("payments/ledger.py", "import django_feexpay.sandbox", "Nothing is built on the sandbox"),
        ("sample_webhooks.py", "import django_feexpay.testing", "Nothing imports the package for the tests of hosts"),
    ],
)
def test_import_contract_detects_a_forbidden_import(
    copy: Path, module: str, forbidden_import: str, contract: str
) -> None:
    with (copy / "django_feexpay" / module).open("a") as source:
        source.write(f"\n{forbidden_import}\n")

    done = lint_imports(copy)

    broken = [line for line in done.stdout.splitlines() if " BROKEN" in line]
    assert done.returncode != 0
    assert any(contract in line for line in broken), done.stdout + done.stderr


def test_payments_take_plain_values_and_no_request() -> None:
    # A contract cannot name django.http, which is needed for requests and responses.
    modules = python_files("django_feexpay/payments", "django_feexpay/models")

    assert [relative(path) for path in modules if "django.http" in path.read_text()] == []
