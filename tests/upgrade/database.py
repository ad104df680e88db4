"""What PostgreSQL says about our tables."""

from __future__ import annotations

import re

from django.db import connection

#: PostgreSQL writes a restored expression with other casts and brackets than the first one.
_CASTS = re.compile(r"::(character varying|text|bigint|integer)(\[\])?|[()]")

_COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' AND table_name LIKE 'feexpay\\_%'
"""
_INDEXES = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename LIKE 'feexpay\\_%'"
_CONSTRAINTS = """
SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid)
FROM pg_constraint WHERE conrelid::regclass::text LIKE 'feexpay\\_%' AND contype <> 'n'
"""


def description() -> dict[str, list[str]]:
    """Columns, constraints and indexes; the names that Django makes up for indexes are left out."""
    found = {}
    with connection.cursor() as cursor:
        for kind, sql in (("columns", _COLUMNS), ("constraints", _CONSTRAINTS)):
            cursor.execute(sql)
            found[kind] = sorted(_plain(" | ".join(map(str, row))) for row in cursor.fetchall())
        cursor.execute(_INDEXES)
        found["indexes"] = sorted(_plain(f"{table} | {sql.partition(' ON ')[2]}") for table, sql in cursor.fetchall())
    return found


def columns() -> dict[str, dict[str, bool]]:
    """The columns of each table, with whether an INSERT must name them."""
    found: dict[str, dict[str, bool]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS.replace("column_default", "column_default IS NULL AND is_identity = 'NO'"))
        for table, column, _type, _length, nullable, without_default in cursor.fetchall():
            found.setdefault(table, {})[column] = nullable == "NO" and without_default
    return found


def _plain(expression: str) -> str:
    return _CASTS.sub("", expression)
