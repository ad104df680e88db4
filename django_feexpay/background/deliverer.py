"""Threads that deliver the outbox, one message at a time each, so that a slow receiver delays no other payment."""

from __future__ import annotations

import threading
import time

from django_feexpay.background.worker_pool import WorkerPool, run_logged
from django_feexpay.payments import outbox, receivers
from django_feexpay.payments.receivers import Bulkhead, Claim, Invocation

#: More than two receivers that hang and one that is slow can hold (`receivers.AT_ONCE` each).
THREADS = 16

#: How long a receiver under way is waited for when the worker stops.
STOP_SECONDS = 4.0
_JOIN_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 0.25

#: Of the whole process: a cluster makes a worker each minute, and a receiver that hangs outlives it.
BULKHEAD = Bulkhead()


class Deliverer:
    """Delivers what is due with a bounded number of threads. For one caller's thread, which must come by often:
    `start_due` also leaves the receivers that exceed their time limit.
    """

    def __init__(self) -> None:
        self._crew = WorkerPool(THREADS, "deliver")
        self._stopping = threading.Event()

    def start_due(self) -> int:
        """Take what is due to threads that are free; how many messages. Waits for none of them.

        Changes: OutboxMessage. Safe to repeat: yes.
        """
        self._leave(BULKHEAD.under_way(longer_than_seconds=receivers.LIMIT_SECONDS))
        claims = outbox.claim(self._crew.free, BULKHEAD)
        for held in claims:
            self._crew.put(run_logged, self._deliver, held)
        return len(claims)

    def deliver_due(self, seconds: float) -> None:
        """Deliver until nothing is due and every receiver has returned or is left, at most for so long."""
        ends_at = time.monotonic() + seconds
        while self.start_due() or not self._crew.wait(0):
            if time.monotonic() >= ends_at:
                return
            self._crew.wait(_LOOK_EVERY_SECONDS)

    def close(self) -> None:
        """Take nothing more, wait some seconds for the receivers under way, and leave those that do not return."""
        self._stopping.set()
        if not self._crew.wait(STOP_SECONDS):
            run_logged(self._leave, BULKHEAD.under_way())
        self._crew.close(_JOIN_SECONDS)

    def _deliver(self, held: Claim) -> None:
        """One message, and then what else is due: only a thread that got stuck needs others to be started."""
        while outbox.deliver_claimed(held, BULKHEAD) is not outbox.Delivery.GIVEN_UP and not self._stopping.is_set():
            claims = outbox.claim(1, BULKHEAD)
            if not claims:
                return
            held = claims[0]

    def _leave(self, invocations: list[Invocation]) -> None:
        """Those of our threads: another worker of this process sees to its own."""
        for invocation in invocations:
            if self._crew.abandon(invocation.thread):
                outbox.give_up(invocation, BULKHEAD)
