"""Every read of our tables goes to the database they are written to, whatever a host's router says about replicas.

A replica lags: it may not know yet that an order is being paid, that an attempt was sent, or that a payment is
credited. Each of these would have a payer asked twice.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models, router

from django_feexpay import isolation

Row = TypeVar("Row", bound=models.Model, covariant=True)


class PrimaryQuerySet(models.QuerySet[Row]):
    """Reads where it would write. `using()` still names another database: a report of the host's may read a replica."""

    @property
    def db(self) -> str:
        chosen, hints = self._db, self._hints  # type: ignore[attr-defined]  # Django's own, which its stubs leave out
        return chosen or router.db_for_write(self.model, **hints)

    def update(self, **kwargs: Any) -> int:
        """As Django's; one that waited for another writer sees what that one wrote."""
        with isolation.read_committed(self.db):
            return super().update(**kwargs)


class PrimaryModel(models.Model):
    """Base of our models. Django takes the base manager of a model from its parent's, and with it go related objects,
    `refresh_from_db` and the look before a delete.
    """

    objects = PrimaryQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"
