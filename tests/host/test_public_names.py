"""The names that a host imports from `django_feexpay`, and what a type checker and Python say of wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import django_feexpay

ROOT = Path(__file__).resolve().parents[2]

NAMES = [
    *("Detail", "FieldError", "InsideAtomicError", "NotAllowedError", "Payable", "ProviderCode", "PublicStatus"),
    *("Quote", "Status", "__version__", "astart_payment", "close_review", "guess_provider", "quote"),
    *("reconcile_payment", "retry_payment", "start_payment", "submit_otp"),
]


def test_public_names_are_these_and_each_can_be_imported() -> None:
    assert sorted(django_feexpay.__all__) == NAMES
    assert set(NAMES) <= set(dir(django_feexpay))
    assert [name for name in NAMES if not hasattr(django_feexpay, name)] == []


def test_other_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'django_feexpay' has no attribute 'nonsense'"):
        _ = django_feexpay.nonsense  # type: ignore[attr-defined]


def test_mypy_accepts_a_typed_host_and_rejects_each_of_its_mistakes() -> None:
    """A `type: ignore` in that file that mypy does not need is an error: so each mistake is one."""
    command = [sys.executable, "-m", "mypy", "tests/host/typed_host.py"]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout
