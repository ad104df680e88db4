"""How the invariants read rows: by primary key, and without loading a table into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet


def columns_of(rows: QuerySet[Any], *names: str) -> Iterator[tuple[Any, ...]]:
    """The named columns of each row."""
    return rows.order_by("pk").values_list(*names).iterator()


def ids_of(rows: QuerySet[Any]) -> Iterator[Any]:
    """The primary key of each row."""
    return (pk for (pk,) in columns_of(rows, "pk"))
