"""Every ordinary Django project takes payments: each variant sells two orders, or says why it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import PROJECT, RunInHost

PAID = {"view": "paid", "api": "paid", "status": ["credited", "credited"], "webhooks": 2, "admin": [200]}
OUTCOMES: dict[str, dict[str, Any]] = {
    "plain": PAID,
    "bare": {**PAID, "admin": []},
    "uuid_user": PAID,
    "hostile_drf": PAID,
    "other_prefix": {**PAID, "admin": [404]},
    "own_admin_site": PAID,
    "i18n_off": PAID,
    "i18n_patterns": PAID,
    "script_name": PAID,
    "mail_user": PAID,
    "asgi": PAID,
    "token_authentication": PAID,
    "login_required": PAID,
    "atomic_requests": PAID,
    "atomic_requests_inline": {
        **PAID,
        "view": "500 InsideAtomicError",
        "status": ["credited"],
        "webhooks": 1,
    },
    "other_database": {"view": "500 NotAllowedError", "api": "503 not_configured", "admin": [200]},
}
#: Their tables are others than those of "plain".
OWN_USER_MODEL = {"uuid_user", "mail_user"}


@pytest.mark.parametrize("variant", OUTCOMES)
def test_project_takes_payments_or_says_why_not(
    run_in_host: RunInHost, installed: Path, migrated: Path, tmp_path: Path, variant: str
) -> None:
    if variant not in OWN_USER_MODEL:
        shutil.copy(migrated, tmp_path)

    done = run_in_host(variant, str(PROJECT / "drive.py"))

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"package": str(installed), **OUTCOMES[variant]}, done.stderr


def test_tests_of_a_project_need_no_keys(run_in_host: RunInHost) -> None:
    done = run_in_host("production_without_keys", "-m", "django", "test", "orders")

    assert done.returncode == 0, done.stderr
    assert "Ran 1 test" in done.stderr


def test_deployment_of_a_project_needs_keys(run_in_host: RunInHost) -> None:
    deployed = run_in_host("production_without_keys", "-m", "django", "check", "--deploy", "--tag", "compatibility")
    started = run_in_host("production_without_keys", "-m", "django", "feexpay_worker", "--once")

    for done in (deployed, started):
        assert done.returncode == 1
        assert all(number in done.stderr for number in ("feexpay.E003", "feexpay.E011", "feexpay.E013")), done.stderr


@pytest.mark.parametrize("variant", ["plain", "uuid_user", "mail_user", "i18n_patterns", "script_name", "other_prefix"])
def test_check_finds_no_error_and_no_migration_is_missing(run_in_host: RunInHost, variant: str) -> None:
    checked = run_in_host(variant, "-m", "django", "check")
    made = run_in_host(variant, "-m", "django", "makemigrations", "feexpay", "--check", "--dry-run")

    assert checked.returncode == 0, checked.stderr
    assert made.returncode == 0, made.stdout


@pytest.mark.parametrize(
    ("variant", "number"),
    [("other_database", "feexpay.E052"), ("naive_times", "feexpay.E022"), ("atomic_requests_inline", "feexpay.W015")],
)
def test_check_names_a_setting_that_payments_do_not_support(run_in_host: RunInHost, variant: str, number: str) -> None:
    checked = run_in_host(variant, "-m", "django", "check")

    assert number in checked.stderr
    assert checked.returncode == ("E" in number)


def test_worker_refuses_tables_in_another_database(run_in_host: RunInHost) -> None:
    started = run_in_host("other_database", "-m", "django", "feexpay_worker", "--once")

    assert started.returncode == 1
    assert "feexpay.E052" in started.stderr


def test_doctor_explains_naive_times(run_in_host: RunInHost) -> None:
    run_in_host("naive_times", "-m", "django", "migrate", "-v", "0", "--skip-checks")

    diagnosed = run_in_host("naive_times", "-m", "django", "feexpay_doctor")

    assert "✘ settings: feexpay.E022 USE_TZ is off" in diagnosed.stdout
    assert "Traceback" not in diagnosed.stderr
