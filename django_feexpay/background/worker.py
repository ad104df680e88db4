"""The sweep: take what is due, see to each, deliver the outbox. Any number of sweeps may run at once.

`feexpay_worker` runs it in a loop; a django-q2 cluster runs the same one from a schedule. Neither holds anything in
memory that matters: killed at any moment, its leases end and the next sweep goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import Self

from django.core.cache import cache
from django.db import DatabaseError, close_old_connections, connection

from django_feexpay import conf
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.models import Attempt, Heartbeat
from django_feexpay.payments import due, hints, initiate, outbox
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.lifecycle import Status
from django_feexpay.payments.reconcile import reconcile

logger = logging.getLogger("django_feexpay.worker")

#: The heartbeats: who does the work, and the last time FeexPay answered a question.
WORKER, CLUSTER, GATEWAY = "worker", "cluster", "gateway"

BATCH = 50
GATEWAY_LOOK_EVERY = timedelta(seconds=300)
_HEARTBEAT_EVERY = timedelta(seconds=10)
_LONGEST_PAUSE_SECONDS = 30.0


class Worker:
    """Sweeps with a bounded pool of threads: `concurrency` calls to the gateway at once, at most.

    Use as a context manager: leaving waits for the calls under way. `name` is the heartbeat it leaves.
    """

    def __init__(self, *, name: str = WORKER, concurrency: int = 8) -> None:
        self.name = name
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="feexpay")
        self._beat_at = conf.now() - _HEARTBEAT_EVERY

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)

    def run(self, stop: threading.Event, *, every_seconds: float = 0.5) -> None:
        """Sweep until `stop` is set. A database that is away is waited for, with growing pauses."""
        pause = every_seconds
        while not stop.is_set():
            try:
                busy = self.sweep()
                pause = 0 if busy else every_seconds
            except DatabaseError as error:
                logger.error("database away, sweeping again in %.1f s: %s", pause, type(error).__name__)
                connection.close()
                pause = min(max(pause, every_seconds) * 2, _LONGEST_PAUSE_SECONDS)
            stop.wait(pause)

    def sweep(self) -> int:
        """One round: the due attempts, the outbox, late matches, the heartbeat; how many rows were seen to.

        Changes: whatever the payments functions change. Safe to repeat: yes, also at the same time.
        """
        close_old_connections()
        claims = due.claim_due(BATCH)
        list(self._pool.map(_see_to, claims))
        delivered = outbox.deliver()
        self._beat()
        return len(claims) + delivered

    def _beat(self) -> None:
        now = conf.now()
        if now - self._beat_at < _HEARTBEAT_EVERY:
            return
        self._beat_at = now
        hints.match_stragglers()
        _beat(self.name)
        look_at_gateway()


def look_at_gateway() -> None:
    """Ask for the balance, which moves no money: that FeexPay answers our key is its heartbeat.

    At most every five minutes for all workers of a shared cache. Changes: Heartbeat.
    """
    if not cache.add("feexpay:gateway-look", 1, GATEWAY_LOOK_EVERY.total_seconds()):
        return
    try:
        conf.gateway().balance()
    except GatewayError as error:
        logger.warning("the gateway does not answer: %s", error.code)
    else:
        _beat(GATEWAY)


def _beat(name: str) -> None:
    Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": conf.now()})


def sweep_for(seconds: float, *, name: str) -> int:
    """Sweep again and again for this long, resting while nothing is due; how many rows were seen to."""
    ends_at = time.monotonic() + seconds
    total = 0
    with Worker(name=name) as worker:
        while True:
            busy = worker.sweep()
            total += busy
            if time.monotonic() >= ends_at:
                return total
            if not busy:
                time.sleep(min(1.0, max(0.0, ends_at - time.monotonic())))


def _see_to(held: due.Claim) -> None:
    """Work on one claim. An error here must not take the others along: the lease brings the row back."""
    try:
        advance(held)
    except Exception:
        logger.exception("attempt %s could not be seen to; it is due again when its lease ends", held.attempt_id)
    finally:
        close_old_connections()


def advance(held: due.Claim, *, source: Source = Source.WORKER) -> None:
    """Bring a claimed attempt one step on: send what waits, give up what was lost on its way, ask about the rest."""
    status = Attempt.objects.values_list("status", flat=True).get(pk=held.attempt_id)
    if status == Status.CREATED:
        initiate.send_due(held, source=source)
    elif status == Status.SENDING:
        initiate.lose(held.attempt_id, source=source)
    else:
        reconcile(held.attempt_id, source=source, held=held)
