"""Reads of our tables go to the primary database, even if a host's router sends reads to a replica.

A replica lags: it may not yet show that an order is being paid, an attempt was sent or a payment is credited. In each
case a payer would be asked twice.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models, router

from django_feexpay import isolation

Row = TypeVar("Row", bound=models.Model, covariant=True)


class PrimaryQuerySet(models.QuerySet[Row]):
    """Reads from the database it would write to, unless `using()` names another, for example for a report."""

    @property
    def db(self) -> str:
        chosen, hints = self._db, self._hints  # type: ignore[attr-defined]  # Django's, missing in its stubs
        return chosen or router.db_for_write(self.model, **hints)

    def update(self, **kwargs: Any) -> int:
        """As Django's, at READ COMMITTED: an update that waited for another writer sees that writer's values."""
        with isolation.read_committed(self.db):
            return super().update(**kwargs)


class PrimaryModel(models.Model):
    """Base of our models. Related objects, `refresh_from_db` and cascades use the base manager that is set here."""

    objects = PrimaryQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"
