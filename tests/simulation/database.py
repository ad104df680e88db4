"""The database of a simulation: SQLite in memory, which is several times as fast, or PostgreSQL.

Locks play no part, since only one task runs at a time and none pauses inside a transaction. PostgreSQL adds its
triggers and constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests import servers

MEMORY = "sqlite://:memory:"


@contextmanager
def address(*, postgres: bool) -> Iterator[str]:
    """The DATABASE_URL, to be set before Django reads its settings."""
    if not postgres:
        yield MEMORY
        return
    with servers.postgres() as url:
        yield url


def prepare() -> Callable[[], None]:
    """Migrate the default database of this process; return the function that empties it again."""
    from django.core.management import call_command
    from django.db import connection

    from tests import emptying

    connection.settings_dict["CONN_MAX_AGE"] = None  # time stands still: no connection grows too old
    call_command("migrate", verbosity=0)
    if connection.vendor == "sqlite":
        pages = connection.connection.serialize()
        return lambda: connection.connection.deserialize(pages)
    emptying.prepare()
    return emptying.empty
