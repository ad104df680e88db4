"""Describe a database error for an operator, without its own text, which may hold values or passwords."""

from __future__ import annotations

from django.db import Error as AnyDatabaseError
from django.db import connection

_UNDEFINED_TABLE_OR_COLUMN = {"42P01", "42703"}

#: (part of the driver's message, text for the log). libpq has no error codes for connections that fail.
_CONNECTION_CAUSES = (
    ("connection refused", "connection refused"),
    ("could not translate host name", "unknown host"),
    ("failed to resolve host", "unknown host"),
    ("name or service not known", "unknown host"),
    ("authentication failed", "user or password refused"),
    ("timeout expired", "no answer in time"),
    ("timed out", "no answer in time"),
    ("couldn't get a connection", "no free connection in the pool"),
    ("too many", "too many connections"),
    ("starting up", "the server is starting"),
    ("shutting down", "the server is shutting down"),
    ("terminating connection", "the server closed the connection"),
    ("closed the connection", "the server closed the connection"),
    ("is locked", "the database file is locked"),
    ("unable to open database file", "the database file cannot be opened"),
)


def cause_of(error: AnyDatabaseError) -> str:
    """Name the cause and the server: `connection refused (127.0.0.1:5432)`."""
    text = str(error).lower()
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    if sqlstate in _UNDEFINED_TABLE_OR_COLUMN or "no such table" in text or "no such column" in text:
        return "tables or columns are missing: run `manage.py migrate`"
    known = (cause for part, cause in _CONNECTION_CAUSES if part in text)
    cause = next(known, type(error).__name__)
    host, port = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    return f"{cause} ({host}:{port or 5432})" if host else cause
