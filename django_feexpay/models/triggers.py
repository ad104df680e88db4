"""Triggers that keep append-only tables append-only for every program that uses the database.

On PostgreSQL they refuse UPDATE, DELETE and TRUNCATE, on SQLite UPDATE and DELETE. One update passes: the one that
writes the columns of a chain for the first time and nothing else.

In a test run the trigger is left out that would stop Django from emptying the tables between tests: TRUNCATE on
PostgreSQL, DELETE on SQLite.

The owner of a table and a superuser can switch triggers off. That is why rows form chains (`payments.audit`).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.backends.base.base import BaseDatabaseWrapper

from django_feexpay.conf import feexpay

#: The tables of every AppendOnlyModel.
TABLES = ("feexpay_paymentevent", "feexpay_credit", "feexpay_staffaction", "feexpay_payoutevent")
_CHAIN_COLUMNS = ("position", "key_id", "hash", "chained_later_at")

_FUNCTION = """
CREATE OR REPLACE FUNCTION feexpay_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    chain_columns CONSTANT text[] := ARRAY['position', 'key_id', 'hash', 'chained_later_at'];
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) ->> 'hash' = '' AND to_jsonb(NEW) ->> 'hash' <> ''
            AND to_jsonb(OLD) - chain_columns = to_jsonb(NEW) - chain_columns THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$
"""
#: The older triggers of these tables have the same names; they never refused TRUNCATE.
_POSTGRESQL = {
    "append_only": "BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW",
    "no_truncate": "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT",
}


def are_migrated(connection: BaseDatabaseWrapper) -> bool:
    """Whether the tables have the columns of a chain. They do not before that migration, or after it was reversed."""
    with connection.cursor() as cursor:
        if TABLES[0] not in connection.introspection.table_names(cursor):
            return False
        return "hash" in {column.name for column in connection.introspection.get_table_description(cursor, TABLES[0])}


def expected(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of all triggers that this database must have; none where triggers are not supported."""
    kinds = {"postgresql": list(_POSTGRESQL), "sqlite": ["no_update", "no_delete"]}.get(connection.vendor, [])
    if feexpay.is_test_run:
        kinds = [kind for kind in kinds if kind not in ("no_truncate", "no_delete" * (connection.vendor == "sqlite"))]
    return [f"{table}_{kind}" for table in TABLES for kind in kinds]


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of the expected triggers that are missing or switched off."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        there = {name for (name,) in cursor.fetchall()}
    return [name for name in expected(connection) if name not in there]


def install(connection: BaseDatabaseWrapper, names: Iterable[str]) -> None:
    """Create these triggers, and replace those of the same name."""
    names = list(names)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and names:
            cursor.execute(_FUNCTION)
        for name in names:
            table = next(table for table in TABLES if name.startswith(f"{table}_"))
            kind = name.removeprefix(f"{table}_")
            if connection.vendor == "postgresql":
                when = _POSTGRESQL[kind].format(table=table)
                cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
                cursor.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION feexpay_append_only()")
            else:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
                cursor.execute(_sqlite_trigger(connection, name, table, kind))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop all triggers of these tables, and the function. Safe to repeat: yes."""
    with connection.cursor() as cursor:
        for table in TABLES:
            if connection.vendor == "postgresql":
                for kind in _POSTGRESQL:
                    cursor.execute(f"DROP TRIGGER IF EXISTS {table}_{kind} ON {table}")
            else:
                for kind in ("no_update", "no_delete"):
                    cursor.execute(f"DROP TRIGGER IF EXISTS {table}_{kind}")
        if connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION IF EXISTS feexpay_append_only()")


def _sqlite_trigger(connection: BaseDatabaseWrapper, name: str, table: str, kind: str) -> str:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    if kind == "no_delete":
        return f"CREATE TRIGGER {name} BEFORE DELETE ON {table} {refuse}"
    with connection.cursor() as cursor:
        columns = [column.name for column in connection.introspection.get_table_description(cursor, table)]
    if "hash" not in columns:
        return f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} {refuse}"
    same = " AND ".join(f'OLD."{column}" IS NEW."{column}"' for column in columns if column not in _CHAIN_COLUMNS)
    is_first = f"""OLD."hash" = '' AND NEW."hash" <> '' AND {same}"""
    return f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} WHEN NOT ({is_first}) {refuse}"
