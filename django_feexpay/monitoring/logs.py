"""Logging for a host: `LOGGING = logging_config("json")` in its settings (docs/how-to/logs.md).

Every line says which request, payment, attempt, entry point and provider it is about, and how long the entry point has
run. A JSON line has only the fields of FIELDS: what another package attaches to a record may be a whole request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_feexpay import log_context, request_ids
from django_feexpay.gateway.client import CallSeen
from django_feexpay.private import MASK

#: In every line: what it is about.
CONTEXT_FIELDS = ("request_id", "entry_point", "payment_id", "attempt_id", "provider", "duration_ms")
#: In the lines that have them.
EVENT_FIELDS = (
    *("from_status", "to_status", "because"),  # a move
    *("operation", "outcome", "call_ms", "http_status"),  # a call to FeexPay
    *("signal", "problem", "status_code"),  # a delivered signal, a refusal of the API, an answer that Django logs
)
#: Every field of a JSON line, in this order.
FIELDS = ("timestamp", "level", "logger", "message", *CONTEXT_FIELDS, *EVENT_FIELDS, "exception", "stack", "process")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("json", "text")

#: Whose DEBUG lines are written. At DEBUG, Django logs the values of each SQL statement, and urllib3 each address.
_OURS = ("django_feexpay", "shop")
#: How Django's development server logs a request.
_ACCESS_LINE = '"%s" %s %s'
#: A size of eight digits would be a whole number of some countries, so it is masked.
_STATUS_AND_SIZE = re.compile(r"[1-5][0-9]{2} [0-9]{1,7}")
_REQUEST_LINE = re.compile(r"[A-Z]+ \S+ HTTP/\d\.\d")
#: Digits of a phone number, in groups or not. Ids and times have neighbours that a number has not.
_NUMBER = re.compile(r"(?<![\w.-])\+?\d(?:[ .]?\d){7,14}(?![\w-]|\.\d)")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

logger = logging.getLogger("django_feexpay.gateway")


def logging_config(
    log_format: str,
    *,
    level: str = "INFO",
    file: str = "",
    loggers: tuple[str, ...] = _OURS,
) -> dict[str, Any]:
    """LOGGING: `json` or `text` lines to standard error, or to `file`, which then rotates.

    level: of `loggers`; all others write from INFO.
    Raises: ImproperlyConfigured for an unknown format or level, or if python-json-logger is missing.
    """
    if log_format not in FORMATS:
        raise ImproperlyConfigured(f"LOG_FORMAT is {log_format!r}: it must be `text` or `json`.")
    if level not in LEVELS:
        raise ImproperlyConfigured(f"LOG_LEVEL is {level!r}: it must be one of {', '.join(LEVELS)}.")
    if log_format == "json" and find_spec("pythonjsonlogger") is None:
        raise ImproperlyConfigured("LOG_FORMAT=json needs python-json-logger: pip install 'django-feexpay[production]'")
    handler: dict[str, Any] = {"class": "logging.StreamHandler"}
    if file:
        handler = {"class": "django_feexpay.monitoring.log_file.RotatingLogFile", "filename": file, "delay": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"context": {"()": ContextFilter}, "only_request_lines": {"()": OnlyRequestLines}},
        "formatters": {"line": {"()": f"{__name__}.{log_format}_formatter"}},
        "handlers": {"lines": {**handler, "formatter": "line", "filters": ["context"]}},
        "root": {"handlers": ["lines"], "level": "INFO"},
        "loggers": {
            # Django's default mails whole requests with their bodies to ADMINS.
            "django": {"level": "INFO", "propagate": True},
            "django.server": {"level": "INFO", "propagate": True, "filters": ["only_request_lines"]},
            **{name: {"level": level} for name in loggers},
        },
    }


class ContextFilter(logging.Filter):
    """Lets every record pass and adds CONTEXT_FIELDS. Put it on a handler, which sees the records of all loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = log_context.current()
        record.request_id = request_ids.current()
        record.entry_point = context.entry_point
        record.payment_id = context.payment_id
        record.attempt_id = context.attempt_id
        record.provider = context.provider
        record.duration_ms = context.duration_ms
        return True


class OnlyRequestLines(logging.Filter):
    """Drops lines of Django's development server that are no request lines.

    When a client disconnects early, that server reads the rest of the body as the next request line and would log it,
    a payer's phone number included.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        about = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        return _REQUEST_LINE.fullmatch(str(about)) is not None


def json_formatter() -> logging.Formatter:
    """A formatter of python-json-logger that writes FIELDS and nothing else."""
    from pythonjsonlogger.json import JsonFormatter

    class JsonLine(JsonFormatter):
        def add_fields(
            self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: Mapping[str, Any]
        ) -> None:
            log_data.update(fields_of(record, self))

    return JsonLine(json_ensure_ascii=False)


def text_formatter() -> logging.Formatter:
    """A formatter for people: one line for a record, with what it is about at its end."""
    return _TextLine()


class _TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        given = fields_of(record, self)
        about = " ".join(f"{name}={given[name]}" for name in CONTEXT_FIELDS if given.get(name) not in ("", None))
        line = f"{given['timestamp']} {given['level']} {given['logger']} {_on_one_line(given['message'])}"
        blocks = (given[name] for name in ("exception", "stack") if name in given)
        return "\n".join([f"{line} [{about}]" if about else line, *blocks])


def fields_of(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    """The fields of a record, masked; of EVENT_FIELDS, `exception` and `stack` only those that it has."""
    fields: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": _message(record),
    }
    fields |= {name: getattr(record, name, "") for name in CONTEXT_FIELDS[:-1]}
    fields["duration_ms"] = getattr(record, "duration_ms", None)
    fields |= {name: _plain(getattr(record, name)) for name in EVENT_FIELDS if hasattr(record, name)}
    if record.exc_info:
        fields["exception"] = masked(formatter.formatException(record.exc_info))
    if record.stack_info:
        fields["stack"] = masked(formatter.formatStack(record.stack_info))
    return fields | {"process": record.process}


def _message(record: logging.LogRecord) -> str:
    """The text of a record, masked.

    In a request line of the development server, `"GET /admin/ HTTP/1.1" 200 48213`, the status and the size look like a
    number in two groups. The server counts both; only the request line itself comes from the client.
    """
    is_access = record.name == "django.server" and record.msg == _ACCESS_LINE
    if is_access and isinstance(record.args, tuple) and len(record.args) == 3:
        line, status, size = map(str, record.args)
        if _STATUS_AND_SIZE.fullmatch(f"{status} {size}"):
            return f'"{masked(line)}" {status} {size}'
    return masked(record.getMessage())


def masked(text: str) -> str:
    """A text without phone numbers. Our own lines have none; a message of another package may quote one."""
    return _NUMBER.sub(MASK, text)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else masked(str(value))


def _on_one_line(text: str) -> str:
    """A text without characters that begin a new line or turn the direction, so that no value can forge a line."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1] if found[0] < "\x80" else f"\\u{ord(found[0]):04x}", text)


def note_call(seen: CallSeen) -> None:
    """Log one call to FeexPay at DEBUG. Its caller logs a failure at a level of its own."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    milliseconds = int(seen.seconds * 1000)
    fields = {
        "operation": seen.operation,
        "outcome": seen.outcome,
        "call_ms": milliseconds,
        "http_status": seen.http_status,
    }
    logger.debug("call to FeexPay: %s, %s, %d ms", seen.operation, seen.outcome, milliseconds, extra=fields)
