"""Changes by SQL with the triggers and the foreign keys off, as a database administrator could make them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from django_feexpay.models import triggers


@contextmanager
def triggers_off() -> Iterator[None]:
    """Inside a test's transaction: nothing refuses a change of an append-only table."""
    if connection.vendor == "postgresql":
        execute("SET LOCAL session_replication_role = replica")
    else:
        triggers.remove(connection)
    yield
    if connection.vendor == "postgresql":
        execute("SET LOCAL session_replication_role = origin")
    else:
        triggers.install(connection, triggers.expected(connection))


def execute(statement: str, *values: Any) -> int:
    """Run one statement; how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [_stored(value) for value in values])
        return cursor.rowcount


def tamper(statement: str, *values: Any) -> None:
    """Run one statement with the triggers off. It must change a row: else the test would prove nothing."""
    with triggers_off():
        assert execute(statement, *values) > 0


def _stored(value: Any) -> Any:
    """A UUID as SQLite stores it."""
    return value.hex if connection.vendor == "sqlite" and hasattr(value, "hex") and hasattr(value, "bytes") else value
