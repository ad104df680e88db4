"""Empty the tables after a test that commits, in some milliseconds.

Django truncates every table and sends `post_migrate`. That takes a quarter of a second; a thousand of our tests commit.
Here a function of the test database deletes the rows of the tables that have any, and puts back what `migrate` wrote.
Like Django it waits for the transactions that other threads and processes still hold.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection
from django.test import TransactionTestCase

_FUNCTION = """
CREATE SCHEMA written_by_migrate;
{copies}
CREATE FUNCTION written_by_migrate.restore() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $$
BEGIN
LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;
{steps}
END $$;
"""
_EMPTY = "IF EXISTS (SELECT FROM {table}) THEN DELETE FROM {table}; END IF;"
_COPY = "CREATE TABLE {copy} AS SELECT {columns} FROM {table};"
_PUT_BACK = """
IF EXISTS (SELECT ROW({columns})::text FROM {table} EXCEPT ALL SELECT ROW({columns})::text FROM {copy})
   OR EXISTS (SELECT ROW({columns})::text FROM {copy} EXCEPT ALL SELECT ROW({columns})::text FROM {table})
THEN
    DELETE FROM {table};
    INSERT INTO {table} ({columns}) SELECT {columns} FROM {copy};
END IF;
"""


def prepare() -> None:
    """Use the function for the tests of this process. Call it right after `migrate`.

    Other databases than PostgreSQL, and a role that may not switch triggers off, keep Django's way.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser') = 'on', to_regnamespace('written_by_migrate') IS NULL")
        may, is_new = cursor.fetchone()
        if not may:
            return
        if is_new:
            cursor.execute(_definition(cursor))
    TransactionTestCase._fixture_teardown = _restore  # type: ignore[attr-defined]  # there is no hook for it


def _definition(cursor: Any) -> str:
    copies, steps, tables = [], [], []
    for name in connection.introspection.django_table_names(only_existing=True, include_views=False):
        tables.append(table := connection.ops.quote_name(name))
        cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")
        if not cursor.fetchone()[0]:
            steps.append(_EMPTY.format(table=table))
            continue
        columns = connection.introspection.get_table_description(cursor, name)
        words = {
            "table": table,
            "copy": f"written_by_migrate.{table}",
            "columns": ", ".join(connection.ops.quote_name(column.name) for column in columns),
        }
        copies.append(_COPY.format(**words))
        steps.append(_PUT_BACK.format(**words))
    return _FUNCTION.format(copies="\n".join(copies), steps="\n".join(steps), tables=", ".join(tables))


_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]


#: A test that commits may leave a process or a thread that writes once more after the tables were emptied.
_may_have_stragglers = False


def empty_again() -> None:
    """Empty the tables once more if a test that commits has run since the last call."""
    global _may_have_stragglers  # noqa: PLW0603 -- of this process, as the teardown of Django's class is
    if _may_have_stragglers:
        _may_have_stragglers = False
        _call()


def empty() -> None:
    """Bring the tables back to what `migrate` wrote. For a fixture that commits rows for several tests."""
    TransactionTestCase("__init__")._fixture_teardown()  # type: ignore[attr-defined]  # as above


def _restore(test: Any) -> None:
    global _may_have_stragglers  # noqa: PLW0603 -- see above
    _may_have_stragglers = True
    if test._databases_names(include_mirrors=False) != [DEFAULT_DB_ALIAS]:
        _flush(test)
        return
    _call()


def _call() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT written_by_migrate.restore()")
