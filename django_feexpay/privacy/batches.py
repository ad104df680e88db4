"""Change many rows in small transactions, so that no payment waits for a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from django_feexpay.payments.durability import durable

#: Rows in one transaction, which then takes a few hundredths of a second.
BATCH = 1_000

Stop = Callable[[], bool]


class StoppedError(Exception):
    """The caller had to stop between two batches; what is done stays done. `done`: the sum until then."""

    def __init__(self, done: int) -> None:
        super().__init__(done)
        self.done = done


def everything(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows


def in_batches(
    rows: QuerySet[Any],
    work: Callable[[QuerySet[Any]], int],
    stop: Stop,
    *,
    unneeded: Callable[[QuerySet[Any]], QuerySet[Any]] = everything,
    size: int = 0,
) -> int:
    """Call `work` with one batch of rows after the other, each in its own transaction; return the sum of its results.

    `rows` is read once, in its order: by one column of its own table that has an index. `unneeded` leaves out what
    other tables still need. It is applied to the rows of one batch only: for the whole table the planner may guess
    wrong and join all of it for each batch. `size`: rows in one batch, 0 for BATCH.
    The rows are locked in the transaction of `work`, which checks their conditions again under the lock. Rows that
    another transaction has locked are left for the next run. So nothing here waits for a payment, and no payment waits
    for more than one batch.
    Raises: StoppedError between two batches. Safe to repeat: as `work`.
    """
    name = str(rows.query.order_by[0])
    size, total = size or BATCH, 0
    following = rows.order_by(name, "pk")
    while True:
        if stop():
            raise StoppedError(total)
        chosen = list(following.values_list(name, "pk")[:size])
        if chosen:
            total += _work_on(unneeded(rows.filter(pk__in=[pk for _, pk in chosen]).order_by()), work)
        if len(chosen) < size:
            return total
        at, pk = chosen[-1]
        behind = Q(**{f"{name}__gt": at}) | Q(**{name: at}, pk__gt=pk)
        following = rows.filter(behind, **{f"{name}__gte": at}).order_by(name, "pk")


def _work_on(rows: QuerySet[Any], work: Callable[[QuerySet[Any]], int]) -> int:
    with durable():
        locked = [row.pk for row in _locked(rows).only("pk")]
        return work(rows.filter(pk__in=locked)) if locked else 0


def deleted(rows: QuerySet[Any]) -> int:
    """Delete the rows of a batch and what belongs to them; return how many rows of the batch."""
    return rows.delete()[1].get(rows.model._meta.label, 0)


def _locked(rows: QuerySet[Any]) -> QuerySet[Any]:
    if connection.features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True, of=("self",))
    return rows  # SQLite has one writer
