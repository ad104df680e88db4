"""Rows that are only added. On PostgreSQL a trigger refuses what this class refuses."""

from __future__ import annotations

from typing import Any

from django_feexpay.models.primary import PrimaryModel, PrimaryQuerySet, Row


class AppendOnlyError(TypeError):
    """The row must not be changed or deleted."""


class AppendOnlyQuerySet(PrimaryQuerySet[Row]):
    def update(self, **kwargs: Any) -> int:
        raise AppendOnlyError(f"{self.model._meta.db_table} is append-only: never change a row")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError(f"{self.model._meta.db_table} is append-only: never delete a row")


class AppendOnlyModel(PrimaryModel):
    """Base of the models whose rows are only added."""

    objects = AppendOnlyQuerySet.as_manager()  # type: ignore[misc]  # the base's manager, replaced

    class Meta(PrimaryModel.Meta):
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(f"{self._meta.db_table} is append-only: never change a row")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError(f"{self._meta.db_table} is append-only: never delete a row")
