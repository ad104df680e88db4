"""Threads that deliver the outbox, so that a slow receiver delays no other payment."""

from __future__ import annotations

import threading
import time

from django_feexpay import log_context
from django_feexpay.background.worker_pool import WorkerPool, run_logged
from django_feexpay.payments import outbox, receivers
from django_feexpay.payments.receivers import Bulkhead, Claim, Invocation

#: More threads than two hanging receivers and a slow one can occupy together.
THREADS = 16

#: How long a stopping worker waits for receivers under way.
STOP_SECONDS = 4.0
_JOIN_SECONDS = 1.0
_CHECK_EVERY_SECONDS = 0.25

#: One per process: each task of a cluster makes its own worker, and a hanging receiver outlives it.
BULKHEAD = Bulkhead()


class Deliverer:
    """Delivers due messages with a limited number of threads. Not thread-safe.

    The owner must call `start_due` often: it also abandons receivers that exceed their time limit.
    """

    def __init__(self) -> None:
        self._pool = WorkerPool(THREADS, "deliver")
        self._stopping = threading.Event()

    def start_due(self) -> int:
        """Give due messages to free threads, without waiting for them; return how many messages.

        Changes: OutboxMessage. Safe to repeat: yes.
        """
        self._abandon(BULKHEAD.under_way(longer_than_seconds=receivers.LIMIT_SECONDS))
        claims = outbox.claim(self._pool.free, BULKHEAD)
        for held in claims:
            self._pool.put(run_logged, self._deliver, held)
        return len(claims)

    def deliver_due(self, seconds: float) -> None:
        """Deliver until nothing is due and every receiver has returned or is abandoned, at most for `seconds`."""
        ends_at = time.monotonic() + seconds
        while self.start_due() or not self._pool.wait(0):
            if time.monotonic() >= ends_at:
                return
            self._pool.wait(_CHECK_EVERY_SECONDS)

    def close(self) -> None:
        """Start no delivery, wait STOP_SECONDS for the receivers under way, then abandon them."""
        self._stopping.set()
        if not self._pool.wait(STOP_SECONDS):
            run_logged(self._abandon, BULKHEAD.under_way())
        self._pool.close(_JOIN_SECONDS)

    def _deliver(self, held: Claim) -> None:
        """Deliver one message, then others that are due, until none is left or a receiver hangs."""
        while self._deliver_one(held) is not outbox.Delivery.GIVEN_UP and not self._stopping.is_set():
            claims = outbox.claim(1, BULKHEAD)
            if not claims:
                return
            held = claims[0]

    def _deliver_one(self, held: Claim) -> outbox.Delivery:
        with log_context.entry_point(log_context.current().entry_point):  # the duration of this delivery alone
            return outbox.deliver_claimed(held, BULKHEAD)

    def _abandon(self, invocations: list[Invocation]) -> None:
        """Abandon the calls of our own threads. Another worker of this process abandons its own."""
        for invocation in invocations:
            if self._pool.abandon(invocation.thread):
                outbox.give_up(invocation, BULKHEAD)
