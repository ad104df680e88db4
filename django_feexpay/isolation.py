"""READ COMMITTED for our own transactions, whatever isolation level the host's database settings ask for.

Every rule about money takes a lock and then reads. Under REPEATABLE READ, the statement that waits for the lock has
already fixed the snapshot, so the next read shows the rows as they were before the wait. A transaction may choose its
level until its first query. SQLite has no levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

#: PostgreSQL runs READ UNCOMMITTED as READ COMMITTED.
_READ_COMMITTED = frozenset({"read committed", "read uncommitted"})

#: By driver connection: whether the server's own default is READ COMMITTED. It stays the same while the connection
#: is open.
_server_defaults: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@contextmanager
def read_committed(using: str) -> Iterator[None]:
    """Run a single statement at READ COMMITTED. Inside a transaction, the level of that transaction stays."""
    connection = connections[using]
    if connection.in_atomic_block or not connection.get_autocommit() or is_read_committed(connection):
        yield
        return
    with atomic_read_committed(using):
        yield


@contextmanager
def atomic_read_committed(using: str) -> Iterator[None]:
    """A transaction at READ COMMITTED. Inside a transaction, a savepoint, and the level of that transaction stays."""
    connection = connections[using]
    choose = not connection.in_atomic_block and connection.get_autocommit() and not is_read_committed(connection)
    with transaction.atomic(using):
        if choose:
            choose_read_committed(connection)
        yield


def is_read_committed(connection: BaseDatabaseWrapper) -> bool:
    """Whether a new transaction starts at READ COMMITTED.

    Asks the server once per connection, because a role or a database may set a level of its own. Must run outside a
    transaction.
    """
    if connection.vendor != "postgresql":
        return True
    connection.ensure_connection()
    if "isolation_level" in connection.settings_dict["OPTIONS"]:
        level: Any = connection.isolation_level  # type: ignore[attr-defined]  # of Django's PostgreSQL backend
        return str(level.name).lower().replace("_", " ") in _READ_COMMITTED
    known = _server_defaults.get(connection.connection)
    if known is None:
        known = _server_defaults[connection.connection] = current_is_read_committed(connection)
    return known


def current_is_read_committed(connection: BaseDatabaseWrapper) -> bool:
    """Whether the open transaction is at READ COMMITTED; outside a transaction, whether the next one will be."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        return cursor.fetchone()[0] in _READ_COMMITTED


def choose_read_committed(connection: BaseDatabaseWrapper) -> None:
    """Set the level of the open transaction. Must be its first statement."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
