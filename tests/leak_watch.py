"""A pytest plugin: no secret and no phone number of the suite gets into a log, a table, a page or a report of errors.

It looks on while every test runs, so a leak fails the test that caused it, also under pytest-xdist. Searched are:

- every log record of every level, formatted, with its attributes and its traceback (not with frames' variables);
- every value that an INSERT or UPDATE writes into any table, encrypted columns being unreadable, and every task of
  django-q2 unpacked; what a test rolls back too;
- every answer with a status of 400 or more, and for secrets every answer, unless it is streamed;
- everything that is given to sentry-sdk to be sent.

The secrets are those that FEEXPAY and SECRET_KEY hold at that moment, from twelve characters on: what a test sets there
becomes a marker. The numbers are those that the suite pays with, 61 00 00 .. of Benin, in every usual writing. Texts
are read as they are; tests/security/test_leak_canaries.py reads encodings too. Processes that a test starts are not
watched.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.signals import setting_changed
from django.db.backends.signals import connection_created
from django.db.models.signals import post_save
from sentry_sdk.envelope import Envelope

#: The settings whose values are secrets.
SECRET_SETTINGS = ("API_KEY", "WEBHOOK_SECRETS", "FIELD_KEYS", "HASH_KEY", "AUDIT_KEYS", "PROXY")
_LEAST_LENGTH = 12
#: A mode, the scheme of a header and an end are no secrets: `header:Bearer abc until 2026-12-31`.
_AROUND_A_SECRET = re.compile(r"^(?:header|url_token|hmac|standard_webhooks):|^(?:Bearer|Basic) | until .*$")
_GAP = "[ .\u00a0\u202f-]?"
NUMBER = rf"(?<![\w.])\+?(?:229{_GAP})?(?:0?1{_GAP})?61{_GAP}00{_GAP}00{_GAP}\d\d(?!\w)"
_WRITES = ("INSERT", "UPDATE", "\nINSERT")
_USUAL_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_FORMATTER = logging.Formatter()


class Watch:
    """What was seen and what was found since the last `take`."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._found: list[str] = []
        self._secrets = self._anything = re.compile(r"(?!)")

    def read_settings(self, **kwargs: Any) -> None:
        """Take the secrets of the settings as markers."""
        given = getattr(settings, "FEEXPAY", None)
        values = [given.get(name) for name in SECRET_SETTINGS] if isinstance(given, Mapping) else []
        pattern = "|".join(re.escape(secret) for secret in _secrets([settings.SECRET_KEY, *values])) or "(?!)"
        self._secrets, self._anything = re.compile(pattern), re.compile(f"{pattern}|{NUMBER}")

    def look(self, place: str, text: str, *, numbers: bool = True) -> None:
        self.seen[place] += 1
        if found := (self._anything if numbers else self._secrets).search(text):
            around = text[max(0, found.start() - 60) : found.end() + 20]
            self._found.append(f"{place}: {found[0]!r} in {around!r}")

    def take(self) -> list[str]:
        """What was found, and forget it."""
        found, self._found = self._found, []
        return found


def _secrets(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        for entry in value.split(",") if isinstance(value, str) else value or ():
            bare = str(entry).strip()
            while (shorter := _AROUND_A_SECRET.sub("", bare)) != bare:
                bare = shorter
            if len(bare) >= _LEAST_LENGTH:
                yield bare


watch = Watch()


# --- what is looked at -------------------------------------------------------------------------------


def _log_record(record: logging.LogRecord) -> str:
    attributes = {name: value for name, value in vars(record).items() if name not in _USUAL_ATTRIBUTES}
    try:
        return f"{_FORMATTER.format(record)} {attributes}"
    except Exception:  # a record whose arguments do not fit its text is a mistake of its own
        return f"{record.msg} {record.args} {attributes}"


def _watch_logs(usual: Callable[..., None]) -> Callable[..., None]:
    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        watch.look("log", _log_record(record))
        usual(logger, record)

    return call_handlers


def _watch_silent_logs(level: int, usual: Callable[..., None]) -> Callable[..., None]:
    """Look at a line that the log levels of the test settings leave out, too."""

    def log(logger: logging.Logger, msg: object, *args: object, stacklevel: int = 1, **kwargs: Any) -> None:
        if logger.isEnabledFor(level):
            usual(logger, msg, *args, stacklevel=stacklevel + 1, **kwargs)
        else:
            watch.look("log", f"{msg} {args} {kwargs.get('extra', '')}")

    return log


def _watch_answers(usual: Callable[..., Any]) -> Callable[..., Any]:
    def get_response(handler: BaseHandler, request: Any) -> Any:
        response = usual(handler, request)
        if not response.streaming:
            is_error = response.status_code >= 400
            text = response.content.decode("utf-8", "replace")
            watch.look("error answer" if is_error else "answer", text, numbers=is_error)
        return response

    return get_response


def _watch_sentry(usual: Callable[..., None]) -> Callable[..., None]:
    def add_item(envelope: Envelope, item: Any) -> None:
        watch.look("Sentry", item.payload.get_bytes().decode("utf-8", "replace"))
        usual(envelope, item)

    return add_item


def _watch_statements(connection: Any, **kwargs: Any) -> None:
    if _written not in connection.execute_wrappers:
        connection.execute_wrappers.append(_written)


def _written(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    if params and sql.startswith(_WRITES):
        rows = params if many else (params,)
        for row in rows:
            values = row.values() if isinstance(row, Mapping) else row
            watch.look("table", " ".join(str(getattr(value, "obj", value)) for value in values))
    return execute(sql, params, many, context)


def _watch_queue(sender: Any, instance: Any, **kwargs: Any) -> None:
    """The payload of a task is pickled and signed, so the table shows no text."""
    if sender._meta.app_label == "django_q" and sender.__name__ == "OrmQ":
        task = instance.task  # a method in the older versions of django-q2
        watch.look("queue", str(task() if callable(task) else task))


# --- pytest ------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaks: writes a secret or a number itself, to test what happens then")
    logging.Logger.callHandlers = _watch_logs(logging.Logger.callHandlers)  # type: ignore[method-assign]
    logging.Logger.debug = _watch_silent_logs(logging.DEBUG, logging.Logger.debug)  # type: ignore[method-assign]
    logging.Logger.info = _watch_silent_logs(logging.INFO, logging.Logger.info)  # type: ignore[method-assign]
    BaseHandler.get_response = _watch_answers(BaseHandler.get_response)  # type: ignore[method-assign]
    Envelope.add_item = _watch_sentry(Envelope.add_item)  # type: ignore[method-assign]
    connection_created.connect(_watch_statements, dispatch_uid="leak_watch")
    post_save.connect(_watch_queue, dispatch_uid="leak_watch")
    setting_changed.connect(watch.read_settings, dispatch_uid="leak_watch")
    watch.read_settings()


@contextmanager
def _failing(item: pytest.Item) -> Iterator[None]:
    yield
    found = watch.take()
    if found and item.get_closest_marker("leaks") is None:
        pytest.fail("a secret or a number leaked into\n" + "\n".join(found[:10]), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _failing(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _failing(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with _failing(item):
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # a worker of pytest-xdist
        output["leak_watch"] = dict(watch.seen)


@pytest.hookimpl(optionalhook=True)  # only pytest-xdist calls it
def pytest_testnodedown(node: Any) -> None:
    watch.seen.update(getattr(node, "workeroutput", {}).get("leak_watch", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts = ", ".join(f"{number} × {place}" for place, number in sorted(watch.seen.items()))
    terminalreporter.write_line(f"leak watch: {counts or 'nothing'} searched; a finding fails its test")
