"""Logging set-up: one stream, text or JSON, without personal data.

Django's default set-up mails whole requests with their bodies to ADMINS; this one does not.
"""

from __future__ import annotations

import logging
import re
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured

_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
_REQUEST_LINE = re.compile(r"[A-Z]+ \S+ HTTP/\d\.\d")


class OnlyRequestLines(logging.Filter):
    """Drops lines of Django's development server that are no request lines.

    When a client disconnects early, that server reads the rest of the body as the next request line and would log it,
    a payer's phone number included.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        about = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        return _REQUEST_LINE.fullmatch(str(about)) is not None


def logging_config(log_format: str) -> dict[str, Any]:
    """LOGGING for LOG_FORMAT `text` or `json`. Raises ImproperlyConfigured for another, or a missing package."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"only_request_lines": {"()": OnlyRequestLines}},
        "formatters": {"line": _formatter(log_format)},
        "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stream"], "level": "INFO"},
        "loggers": {
            "django": {"level": "INFO", "propagate": True},
            "django.server": {"level": "INFO", "propagate": True, "filters": ["only_request_lines"]},
        },
    }


def _formatter(log_format: str) -> dict[str, str]:
    if log_format == "text":
        return {"format": _FIELDS}
    if log_format != "json":
        raise ImproperlyConfigured(f"LOG_FORMAT is {log_format!r}: it must be `text` or `json`.")
    if find_spec("pythonjsonlogger") is None:
        raise ImproperlyConfigured("LOG_FORMAT=json needs python-json-logger: pip install 'django-feexpay[production]'")
    return {"()": "pythonjsonlogger.json.JsonFormatter", "format": _FIELDS}
