"""docs/how-to/test-your-project.md followed as a reader would: a small project, the page's tests and commands."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.repository.tree import ROOT

PAGE = ROOT / "docs/how-to/test-your-project.md"

PLAIN_PYTEST = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:schemathesis")

SETTINGS = """
SECRET_KEY = "reader"
USE_TZ = True
ROOT_URLCONF = "reader_urls"
STATIC_URL = "static/"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_feexpay", "shop"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": "reader.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"},
}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FEEXPAY = {"API_KEY": "test_key", "SHOP_ID": "SHOP", "BASE_URL": "http://127.0.0.1:9/api", "PAYABLE": "any_amount"}
"""
URLS = """
from django.urls import include, path
urlpatterns = [path("pay/", include("django_feexpay.urls"))]
"""
SHOP = """
from django.conf import settings
from django.db import models
from django.dispatch import receiver
from django_feexpay.signals import payment_succeeded

class Wallet(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    coins = models.IntegerField(default=0)
    events = models.JSONField(default=list)

@receiver(payment_succeeded)
def give_coins(*, payment, event_id, **kwargs):
    wallet, _ = Wallet.objects.get_or_create(user=payment.user)
    if str(event_id) not in wallet.events:
        wallet.events.append(str(event_id))
        wallet.coins += payment.amount // 10
        wallet.save()
"""
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reader_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def make_project(folder: Path, **files: str) -> None:
    (folder / "shop").mkdir()
    own = {"reader_settings.py": SETTINGS, "reader_urls.py": URLS, "manage.py": MANAGE}
    for name, text in (own | {"shop/__init__.py": "", "shop/models.py": SHOP} | files).items():
        (folder / name).write_text(text)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command. The environment names none of this repository's own settings."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "PYTEST", "COV"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=plain | {"DJANGO_SETTINGS_MODULE": "reader_settings", "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def snippets() -> dict[str, str]:
    """The Python of the page, by the file name in its first line."""
    return dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL))


def without_seconds(text: str) -> str:
    return re.sub(r"in \d+\.\d+s", "in … s", text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path, **snippets())
    return tmp_path


def shown_outputs() -> dict[str, str]:
    """The output that the page shows, by command."""
    blocks = re.findall(r"```console\n(\$ .*?)```", PAGE.read_text(), re.DOTALL)
    return dict(re.findall(r"^\$ (.*?)\n((?:(?!\$ ).*\n)*)", "".join(blocks), re.MULTILINE))


@pytest.mark.parametrize("command", [command for command in shown_outputs() if "feexpay_trigger" not in command])
def test_command_prints_what_the_page_shows(project: Path, command: str) -> None:
    program, *arguments = command.split()
    if program == "pytest":
        arguments = ["-m", "pytest", *PLAIN_PYTEST, *arguments]

    printed = run(project, *arguments).stdout

    # "…" stands for lines that depend on the project.
    shown = shown_outputs()[command].removeprefix("…\n").removesuffix("…\n")
    assert without_seconds(shown) in without_seconds(printed)


def test_overridden_start_passes_the_cases(project: Path) -> None:
    files = [name for name in snippets() if name.startswith("test_")]
    assert files == ["test_coins.py", "test_faults.py", "test_webhook.py", "test_webhook_with_order.py"]

    done = run(project, "-m", "pytest", "-q", *PLAIN_PYTEST, "test_webhook_with_order.py")

    assert done.returncode == 0, done.stdout
    assert "15 passed" in done.stdout, done.stdout


def test_trigger_lists_the_events_that_the_page_shows() -> None:
    out = io.StringIO()
    call_command("feexpay_trigger", "--list", stdout=out)

    assert shown_outputs()["python manage.py feexpay_trigger --list"] == out.getvalue()


def test_page_names_every_fixture() -> None:
    plugin = (ROOT / "django_feexpay/testing/plugin.py").read_text()
    fixtures = set(re.findall(r"@pytest\.fixture\ndef (feexpay_\w+)", plugin))
    assert fixtures == {"feexpay_sandbox", "feexpay_settle", "feexpay_webhook", "feexpay_work"}
    assert all(f"| `{name}" in PAGE.read_text() for name in fixtures)
