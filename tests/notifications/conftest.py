"""A mail server, Django's settings for it, and a player with an address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail

from tests.conftest import Configure
from tests.notifications.mail_server import MailServer
from tests.payments.conftest import guarded_calls_and_any_price

#: Of every test in this folder.
__all__ = ["guarded_calls_and_any_price"]

EMAIL = "django_feexpay.notifications.EmailNotifier"


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ama", email="ama@payer.test")


@pytest.fixture
def notified(configure: Configure) -> None:
    """E-mail notifications are on."""
    configure(NOTIFICATIONS=[EMAIL])


def use_mail_server(settings: Any, port: int, *, timeout: float = 60) -> None:
    """Let Django send over SMTP, as its version wants to be told."""
    settings.DEFAULT_FROM_EMAIL = "La Boutique <pay@shop.test>"
    backend = "django.core.mail.backends.smtp.EmailBackend"
    if hasattr(mail, "mailers"):
        options = {"host": "127.0.0.1", "port": port, "timeout": timeout}
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
    else:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = backend, "127.0.0.1", port
        settings.EMAIL_TIMEOUT = timeout


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    server = MailServer()
    use_mail_server(settings, server.port)
    server.start()
    yield server
    server.stop()
