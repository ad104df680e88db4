"""READ COMMITTED for our own transactions, whatever isolation level the host's database settings ask for.

Every rule about money takes a lock and then reads what stands there. Under REPEATABLE READ the statement that waits
for the lock has fixed the snapshot already, so the read after it shows the rows as they were before the wait. A
transaction may still choose its level before its first query; SQLite knows none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

#: PostgreSQL treats the weaker one as the other.
_ENOUGH = frozenset({"read committed", "read uncommitted"})

#: What the server gives a session that asks for nothing, by the driver's connection: it does not change in its life.
_server_defaults: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@contextmanager
def read_committed(using: str) -> Iterator[None]:
    """Run a statement at READ COMMITTED if it stands alone; inside a transaction that one's level counts."""
    connection = connections[using]
    if connection.in_atomic_block or not connection.get_autocommit() or is_read_committed(connection):
        yield
        return
    with transaction.atomic(using):
        choose_read_committed(connection)
        yield


def is_read_committed(connection: BaseDatabaseWrapper) -> bool:
    """Whether a new transaction is at READ COMMITTED without being told.

    Asks the server once a connection, as a role or a database may have a level of its own. Must run outside a
    transaction.
    """
    if connection.vendor != "postgresql":
        return True
    connection.ensure_connection()
    if "isolation_level" in connection.settings_dict["OPTIONS"]:
        level: Any = connection.isolation_level  # type: ignore[attr-defined]  # of Django's PostgreSQL backend
        return str(level.name).lower().replace("_", " ") in _ENOUGH
    known = _server_defaults.get(connection.connection)
    if known is None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            known = _server_defaults[connection.connection] = cursor.fetchone()[0] in _ENOUGH
    return known


def choose_read_committed(connection: BaseDatabaseWrapper) -> None:
    """Must be the first statement of its transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
