"""Reads of our tables go to the primary database, even if a host's router sends reads to a replica.

A replica lags: it may not yet show that an order is being paid, an attempt was sent or a payment is credited. In each
case a payer would be asked twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from django.db import connection, models, router

from django_feexpay import isolation

Row = TypeVar("Row", bound=models.Model, covariant=True)


class PrimaryQuerySet(models.QuerySet[Row]):
    """Reads from the database it would write to, unless `using()` names another, for example for a report."""

    @property
    def db(self) -> str:
        chosen, hints = self._db, self._hints  # type: ignore[attr-defined]  # Django's, missing in its stubs
        return chosen or router.db_for_write(self.model, **hints)

    def update(self, **kwargs: Any) -> int:
        """Update at READ COMMITTED: an update that waited for another writer sees that writer's values."""
        with isolation.read_committed(self.db):
            return super().update(**kwargs)


class PrimaryModel(models.Model):
    """Base of our models. Related objects, `refresh_from_db` and cascades use the base manager that is set here."""

    objects = PrimaryQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"


def write_columns(model: Any, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write these columns of many rows; the last value of a row is its primary key.

    By SQL: `bulk_update` builds one CASE of all rows, which takes several times as long, and the models with a ledger
    refuse an update. The caller holds the rows or may write them for another reason.
    """
    fields = [model._meta.get_field(name) for name in columns]
    pk, quoted = model._meta.pk, connection.ops.quote_name
    assignments = ", ".join(f"{quoted(field.column)} = %s" for field in fields)
    where = f"{quoted(pk.column)} = %s"
    statement = f"UPDATE {quoted(model._meta.db_table)} SET {assignments} WHERE {where}"  # noqa: S608 -- quoted names
    values = [
        [field.get_db_prep_save(value, connection) for field, value in zip((*fields, pk), row, strict=True)]
        for row in rows
    ]
    if values:
        with connection.cursor() as cursor:
            cursor.executemany(statement, values)
