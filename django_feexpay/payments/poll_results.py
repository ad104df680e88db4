"""Write the results of polls that moved nothing, many with one statement."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from django_feexpay import isolation
from django_feexpay.models import Attempt
from django_feexpay.payments import leases


class PollResults:
    """Polls that moved nothing, added by many threads and written together by one.

    A result that is lost with its process, or that a database error kept from being written, costs a repeated poll
    when the lease ends, as if the worker had been killed before it wrote.
    """

    def __init__(self) -> None:
        self._added: deque[tuple[Attempt, datetime | None]] = deque()

    def add(self, attempt: Attempt) -> None:
        """Do as `leases.schedule`, at the next `write`. The attempt has the lease as its `next_poll_at`."""
        self._added.append((attempt, leases.poll_after_this(attempt)))

    def write(self) -> None:
        """Write what was added so far, except rows that another transaction has locked: those at the next call.

        Not for two threads at once. Changes: `poll_count`, `next_poll_at`.
        """
        batch = [self._added.popleft() for _ in range(len(self._added))]
        if not batch:
            return
        if connection.features.has_select_for_update_skip_locked:
            done = _write_together(batch)
            self._added.extend(result for result in batch if result[0].pk not in done)
        else:
            for attempt, next_poll_at in batch:
                leases.write_poll(attempt, next_poll_at)


#: One statement for a batch: a single update with the ORM costs 0.9 ms of CPU, in a batch of twelve each costs 0.04 ms.
#: It waits for no lock, so it cannot deadlock with others that write many attempts, nor stop the loop of a worker.
_WRITE_TOGETHER = """
WITH answered AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(statuses)s::text[], %(seen)s::timestamptz[], %(times)s::timestamptz[])
        AS given (id, status, seen, next_poll_at)
), free AS (
    SELECT attempt.id FROM feexpay_attempt AS attempt JOIN answered USING (id) FOR UPDATE OF attempt SKIP LOCKED
), written AS (
    UPDATE feexpay_attempt AS attempt SET
        poll_count = attempt.poll_count + 1,
        next_poll_at = CASE
            WHEN attempt.next_poll_at IS NOT DISTINCT FROM answered.seen THEN answered.next_poll_at
            ELSE attempt.next_poll_at
        END
    FROM answered JOIN free USING (id)
    WHERE attempt.id = answered.id AND attempt.status = answered.status
)
SELECT id FROM free
"""


def _write_together(batch: Sequence[tuple[Attempt, datetime | None]]) -> set[UUID]:
    """Do as `leases.write_poll` for each attempt of the batch that is not locked; return their ids."""
    values: dict[str, Any] = {
        "ids": [attempt.pk for attempt, _ in batch],
        "statuses": [str(attempt.status) for attempt, _ in batch],
        "seen": [attempt.next_poll_at for attempt, _ in batch],
        "times": [next_poll_at for _, next_poll_at in batch],
    }
    with isolation.read_committed(connection.alias), connection.cursor() as cursor:
        cursor.execute(_WRITE_TOGETHER, values)
        return {row[0] for row in cursor.fetchall()}
