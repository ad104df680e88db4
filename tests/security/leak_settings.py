"""Settings of the walk: those of production on a test server, with everything recorded that could leak.

Every log record of every level with all its attributes, SQL included; error mails with Django's whole report; Sentry
with its default settings, a trace of each request and whole request bodies. Each goes into a file of LEAKS_FOLDER.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import sentry_sdk
from config.settings.production import *  # noqa: F403 -- settings are layered by import
from config.settings.production import FEEXPAY, STORAGES
from django.core.mail.backends.base import BaseEmailBackend
from sentry_sdk.transport import Transport

FOLDER = Path(os.environ["LEAKS_FOLDER"])
STORAGES |= {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}  # no collectstatic
FEEXPAY |= {"PAYABLE": "any_amount", "POLL_SECONDS": [1, 1, 1]}


class Everything(logging.Formatter):
    """The line, and all attributes of the record, as the most talkative formatter would write them."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        is_sql = record.name == "django.db.backends"  # holds line breaks of its own, and those of stored texts
        return f"{line!r}" if is_sql else f"{line} {vars(record)!r}"


class MailFile(BaseEmailBackend):
    def send_messages(self, email_messages: Any) -> int:
        with (FOLDER / "mail").open("a") as file:
            for message in email_messages:
                parts = [content for content, _ in getattr(message, "alternatives", [])]
                file.write("\n".join([message.subject, message.body, *map(str, parts)]))
        return len(email_messages)


class SentryFile(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        with (FOLDER / "sentry").open("a") as file:
            for item in envelope.items:
                file.write(item.payload.get_bytes().decode() + "\n")


sentry_sdk.init(
    dsn="https://key@sentry.example/1", transport=SentryFile, traces_sample_rate=1.0, max_request_body_size="always"
)

ADMINS = [("Operations", "ops@shop.example")]
EMAIL_BACKEND = "tests.security.leak_settings.MailFile"
_TALKATIVE = {"level": "DEBUG", "propagate": True, "handlers": []}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"everything": {"()": "tests.security.leak_settings.Everything"}},
    "handlers": {
        "file": {"class": "logging.FileHandler", "filename": FOLDER / "log", "formatter": "everything"},
        "mail": {"class": "django.utils.log.AdminEmailHandler", "level": "ERROR", "include_html": True},
    },
    "root": {"level": "DEBUG", "handlers": ["file", "mail"]},
    "loggers": dict.fromkeys(
        ("django", "django.request", "django.server", "django.security", "django.db.backends", "django-q", "urllib3"),
        _TALKATIVE,
    )
    # While a mail's report is rendered, this logger quotes all of it for each name that a template does not find.
    | {"django.template": {"level": "INFO"}},
}
