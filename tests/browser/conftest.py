"""One Chromium and one filled database for the folder; each test changes only its own payments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings
from pytest_django import DjangoDbBlocker
from pytest_django.live_server_helper import LiveServer
from shop.models import CoinPack

from tests.browser import office
from tests.browser.chromium import Browser, window
from tests.browser.office import Office

#: A fixture of this folder.
__all__ = ["window"]

_SETTINGS = {
    "ALLOWED_HOSTS": ["localhost"],
    "FEEXPAY": {**settings.FEEXPAY, "PAYABLE": "any_amount"},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--admin-pictures", metavar="FOLDER", help="write a picture of each answered question (make admin-shots)"
    )


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest) -> Path | None:
    """The folder for the pictures of docs/how-to/admin.md; None: a test draws none."""
    folder = request.config.getoption("--admin-pictures", default=None)
    if folder is None:
        return None
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="package")
def site(window: Browser, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Office]:
    """The sample shop behind a real socket, with an office full of work. Afterwards the database is as after `migrate`.

    The tests are marked `django_db`, so that the test database exists; each rolls back what its own thread writes, and
    not what the server writes.
    """
    with django_db_blocker.unblock(), override_settings(**_SETTINGS), office.opened() as opened:
        packs = list(CoinPack.objects.all())
        server = LiveServer("localhost")
        window.site = server.url
        try:
            yield opened
        finally:
            window.driver.get("about:blank")
            server.stop()
            call_command("flush", interactive=False, verbosity=0)
            for pack in packs:
                pack.pk = None  # the emptied table counts from 1 again
            CoinPack.objects.bulk_create(packs)


@pytest.fixture
def browser(site: Office, window: Browser) -> Browser:
    """The window as a person finds it: signed out, light, at a desk."""
    window.open("/admin/login/")
    window.driver.delete_all_cookies()
    window.look()
    window.errors()
    return window
