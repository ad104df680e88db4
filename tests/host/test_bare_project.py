"""The smallest host project: one app, one include, one dict, and neither DRF nor django-q2 among its apps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host.conftest import MakeOnce

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
SECRET_KEY = "bare"
DEBUG = True
USE_TZ = True
ROOT_URLCONF = "bare_urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_feexpay"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": "bare.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"},
}}
FEEXPAY = {"API_KEY": "test_key", "SHOP_ID": "SHOP", "BASE_URL": "http://127.0.0.1:9/api", "PAYABLE": "any_amount"}
"""
URLS = """
from django.urls import include, path
urlpatterns = [path("pay/", include("django_feexpay.urls"))]
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The project without a database."""
    (tmp_path / "bare_settings.py").write_text(SETTINGS)
    (tmp_path / "bare_urls.py").write_text(URLS)
    return tmp_path


@pytest.fixture(scope="session")
def checked_and_migrated(make_once: MakeOnce) -> Path:
    """A folder with the project's database. Raises: AssertionError if `check` or `migrate` fails."""

    def make(folder: Path) -> None:
        (folder / "bare_settings.py").write_text(SETTINGS)
        (folder / "bare_urls.py").write_text(URLS)
        for command in (("check", "--fail-level", "ERROR"), ("migrate", "-v", "0")):
            done = run(folder, "-m", "django", *command)
            assert done.returncode == 0, done.stderr

    return make_once("bare", make)


@pytest.fixture
def with_database(bare: Path, checked_and_migrated: Path) -> Path:
    """The project after `migrate`, with a database of its own."""
    shutil.copy(checked_and_migrated / "bare.sqlite3", bare)
    return bare


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "DJANGO_SETTINGS_MODULE": "bare_settings",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_bare_project_has_no_errors_and_migrates(with_database: Path) -> None:
    """Its fixtures check and migrate it; here no migration is left to apply."""
    left = run(with_database, "-m", "django", "migrate", "--check")

    assert left.returncode == 0, left.stdout + left.stderr


def test_bare_project_starts_a_payment_and_the_worker_sweeps(with_database: Path) -> None:
    program = """
import django; django.setup()
from django.contrib.auth.models import User
import django_feexpay
user = User.objects.create_user("payer")
payment = django_feexpay.start_payment(user=user, provider="mtn_bj", amount=500, phone="01 97 00 00 50")
print(payment.status, payment.detail)
"""
    started = run(with_database, "-c", program)
    swept = run(with_database, "-m", "django", "feexpay_worker", "--once")

    assert started.stdout == "created queued\n", started.stderr  # nothing listens on that port, so nothing was sent
    assert swept.returncode == 0, swept.stderr


def test_schedule_without_the_queue_says_what_to_do(with_database: Path) -> None:
    scheduled = run(with_database, "-m", "django", "feexpay_schedule")

    assert scheduled.returncode == 1
    assert "INSTALLED_APPS" in scheduled.stderr
    assert "feexpay_worker" in scheduled.stderr


def test_package_is_imported_without_settings_and_without_django(bare: Path) -> None:
    program = """
import sys, django_feexpay
loaded = [name for name in ("django", "rest_framework") if name in sys.modules]
print(loaded, "start_payment" in dir(django_feexpay))
"""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=bare, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "[] True\n"), done.stderr


def test_api_needs_no_drf_spectacular(with_database: Path) -> None:
    program = """
import sys
sys.modules["drf_spectacular"] = None
import django; django.setup()
import django_feexpay.urls
from django.test import Client
print(Client().get("/pay/health/").status_code)
"""
    done = run(with_database, "-c", program)

    assert done.stdout == "200\n", done.stderr
