"""docs/how-to/test-your-project.md, run as a reader would: a project of two files, and the page's own tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.house.tree import ROOT

PAGE = ROOT / "docs/how-to/test-your-project.md"

SETTINGS = """
SECRET_KEY = "reader"
DEBUG = True
USE_TZ = True
ROOT_URLCONF = "reader_urls"
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
def hand_out(*, payment, event_id, **kwargs):
    wallet, _ = Wallet.objects.get_or_create(user=payment.user)
    if str(event_id) not in wallet.events:
        wallet.events.append(str(event_id))
        wallet.coins += payment.amount // 10
        wallet.save()
"""


def snippets() -> dict[str, str]:
    """The Python of the page, by the file name in its first line."""
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return dict(blocks)


def test_every_snippet_of_the_page_passes(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    files = {"reader_settings.py": SETTINGS, "reader_urls.py": URLS, "shop/__init__.py": "", "shop/models.py": SHOP}
    for name, text in (files | snippets()).items():
        (tmp_path / name).write_text(text)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "PYTEST", "COV"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *snippets()]
    environment = plain | {"DJANGO_SETTINGS_MODULE": "reader_settings", "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=180
    )

    assert list(snippets()) == ["test_coins.py", "test_trouble.py", "test_webhook.py"]
    assert re.search(r"^19 passed", done.stdout, re.MULTILINE), done.stdout + done.stderr


def test_the_page_names_every_fixture_and_only_commands_that_exist() -> None:
    page = PAGE.read_text()
    plugin = (ROOT / "django_feexpay/testing/plugin.py").read_text()
    fixtures = set(re.findall(r"@pytest\.fixture\ndef (feexpay_\w+)", plugin))
    assert fixtures == {"feexpay_sandbox", "feexpay_settle", "feexpay_webhook", "feexpay_work"}
    assert all(f"| `{name}" in page for name in fixtures)
