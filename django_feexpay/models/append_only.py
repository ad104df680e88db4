"""Rows that are only added, and those that form a chain. Triggers of the database refuse what these classes refuse."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

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


class ChainedModel(AppendOnlyModel):
    """A row whose keyed hash covers the row and the hash of the row before it in its chain.

    `position`: its place in the chain, from 1. `key_id`: which key of AUDIT_KEYS made `hash`. `chained_later_at`: when
    the row was added to its chain, NULL if that happened in the transaction that wrote the row. `payments.audit.chain`
    writes these columns; NULL and "" mean that an earlier release wrote the row and feexpay_chain_history has not run.
    `request_id`: of the HTTP request that caused the row, "" for the worker and for commands.
    """

    request_id = models.CharField(_("request id"), max_length=64, blank=True, default="", db_default="")
    position = models.PositiveIntegerField(_("place in its chain"), null=True, blank=True)
    key_id = models.CharField(_("key of its hash"), max_length=16, blank=True, default="", db_default="")
    hash = models.CharField(_("hash"), max_length=64, blank=True, default="", db_default="")
    chained_later_at = models.DateTimeField(_("chained later at"), null=True, blank=True)

    class Meta(AppendOnlyModel.Meta):
        abstract = True
