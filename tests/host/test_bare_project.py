"""The smallest host project: one app, one include, one dict, and neither DRF nor django-q2 among its apps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    (tmp_path / "bare_settings.py").write_text(SETTINGS)
    (tmp_path / "bare_urls.py").write_text(URLS)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "DJANGO_SETTINGS_MODULE": "bare_settings",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_bare_project_has_no_errors_and_migrates(bare: Path) -> None:
    checked = run(bare, "-m", "django", "check", "--fail-level", "ERROR")
    migrated = run(bare, "-m", "django", "migrate", "-v", "0")

    assert checked.returncode == 0, checked.stderr
    assert migrated.returncode == 0, migrated.stderr


def test_bare_project_starts_a_payment_and_the_worker_sweeps(bare: Path) -> None:
    program = """
import django; django.setup()
from django.contrib.auth.models import User
import django_feexpay
user = User.objects.create_user("payer")
payment = django_feexpay.start_payment(user=user, provider="mtn_bj", amount=500, phone="01 97 00 00 50")
print(payment.status, payment.detail)
"""
    run(bare, "-m", "django", "migrate", "-v", "0")

    started = run(bare, "-c", program)
    swept = run(bare, "-m", "django", "feexpay_worker", "--once")

    assert started.stdout == "created queued\n", started.stderr  # nothing listens on that port, so nothing was sent
    assert swept.returncode == 0, swept.stderr


def test_schedule_without_the_queue_says_what_to_do(bare: Path) -> None:
    run(bare, "-m", "django", "migrate", "-v", "0")

    scheduled = run(bare, "-m", "django", "feexpay_schedule")

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


def test_api_needs_no_drf_spectacular(bare: Path) -> None:
    program = """
import sys
sys.modules["drf_spectacular"] = None
import django; django.setup()
import django_feexpay.urls
from django.test import Client
print(Client().get("/pay/health/").status_code)
"""
    run(bare, "-m", "django", "migrate", "-v", "0")

    done = run(bare, "-c", program)

    assert done.stdout == "200\n", done.stderr
