"""The sweep: take what is due, see to each, deliver the outbox. Any number of sweeps may run at once.

`feexpay_worker` runs it in a loop; a django-q2 cluster runs the same one from a schedule. Neither holds anything in
memory that matters: killed at any moment, its leases end and the next sweep goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connection
from django.db.models import Q

from django_feexpay import conf
from django_feexpay.background.deliverer import STOP_SECONDS, Deliverer
from django_feexpay.background.worker_pool import WorkerPool, survive
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.lifecycle import Status
from django_feexpay.models import Heartbeat
from django_feexpay.payments import leases, sending, webhook_hints
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.receivers import LIMIT_SECONDS
from django_feexpay.payments.reconcile import reconcile_claimed
from django_feexpay.payments.reconciliation import nightly

logger = logging.getLogger("django_feexpay.worker")

#: The heartbeats: who does the work, and the last time FeexPay answered a question.
WORKER, CLUSTER, GATEWAY = "worker", "cluster", "gateway"

GATEWAY_LOOK = "gateway_look"

GATEWAY_LOOK_EVERY = timedelta(seconds=300)
_HEARTBEAT_EVERY = timedelta(seconds=10)
_LONGEST_PAUSE_SECONDS = 30.0
_NIGHT_LOOK_EVERY = timedelta(seconds=60)
#: How often a sweep looks for signals to deliver while it waits for FeexPay.
_DELIVERED_EVERY_SECONDS = 0.5
#: A sweep waits for its receivers at most so long; one that hangs is left earlier.
_DELIVERIES_SECONDS = 2 * LIMIT_SECONDS
_CORRECT_EVERY = timedelta(seconds=60)


class Worker:
    """Sweeps with pools of threads, so that none waits for another: those who ask about live attempts; those who ask
    about settled ones, fewer, so that any number of webhooks about the past delays no payment of now; those who send,
    because a synchronous provider's answer takes minutes; those who deliver, because a host's receiver may take any
    time; and one that keeps the night's comparison while it runs.

    Use as a context manager: leaving waits for the calls under way. `name` is the heartbeat it leaves.
    """

    def __init__(self, *, name: str = WORKER, concurrency: int = 8) -> None:
        self.name = name
        self._asking = WorkerPool(concurrency, "ask")
        self._asking_settled = WorkerPool(max(1, concurrency // 2), "ask-settled")
        self._sending = WorkerPool(2 * concurrency, "send")
        self._deliverer = Deliverer()
        self._comparing = WorkerPool(1, "compare")
        self._beat = _Every(_HEARTBEAT_EVERY)
        self._night = _Every(_NIGHT_LOOK_EVERY)
        self._correction = _Every(_CORRECT_EVERY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._asking, self._asking_settled, self._sending, self._comparing):
            pool.close()
        self._deliverer.close()

    def run(self, stop: threading.Event, *, every_seconds: float = 0.5) -> None:
        """Sweep until `stop` is set, without waiting for slow calls. A database that is away is waited for."""
        pause = every_seconds
        while not stop.is_set():
            try:
                pause = 0 if self._round() else every_seconds
                self._run_nightly(stop)
            except AnyDatabaseError as error:
                pause = min(max(pause, every_seconds) * 2, _LONGEST_PAUSE_SECONDS)
                logger.error("database away, sweeping again in %.1f s: %s", pause, type(error).__name__)
                connection.close()
            self._rest(stop, pause)

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        """More may be due than there are threads: then the rest is over when one of them is free."""
        if self._asking.free:
            stop.wait(seconds)
        else:
            self._asking.wait_for_room(seconds)

    def _run_nightly(self, stop: threading.Event) -> None:
        """Look whether the night's comparison is to be done; it ends early, to be done again, when we are stopped."""
        if self._comparing.free and self._night.is_time():
            self._comparing.put(survive, partial(nightly.run_nightly, source=Source.WORKER, stop=stop.is_set))

    def sweep(self) -> int:
        """One round, waited for: the due attempts, then the outbox; how many attempts were seen to.

        Changes: whatever the payments functions change. Safe to repeat: yes, also at the same time.
        """
        claimed = self.settle()
        self._deliverer.deliver_due(_DELIVERIES_SECONDS)
        return claimed

    def settle(self) -> int:
        """`sweep`, but the receivers are not waited for."""
        claimed = self._claim()
        for pool in (self._asking, self._asking_settled, self._sending):
            while not pool.wait(_DELIVERED_EVERY_SECONDS):
                self._deliverer.start_due()  # a slow answer keeps no signal waiting
        self._side_work()
        self._deliverer.start_due()
        return claimed

    def deliver_for(self, seconds: float) -> None:
        """Deliver what is due, at most for so long."""
        self._deliverer.deliver_due(seconds)

    def _round(self) -> int:
        claimed = self._claim()
        self._deliverer.start_due()
        self._side_work()
        return claimed

    def _claim(self) -> int:
        """Take as many due attempts as there are threads free for them."""
        close_old_connections()
        to_send = leases.claim_due(self._sending.free, unsent=True)
        to_ask = leases.claim_due(self._asking.free, unsent=False, live=True)
        settled = leases.claim_due(self._asking_settled.free, unsent=False, live=False)
        for pool, claims in ((self._sending, to_send), (self._asking, to_ask), (self._asking_settled, settled)):
            for held in claims:
                pool.put(_see_to, held)
        return len(to_send) + len(to_ask) + len(settled)

    def _side_work(self) -> None:
        """Every ten seconds: late webhooks, the heartbeat, and whether FeexPay answers. Each minute: wrong clocks."""
        if self._correction.is_time():
            correct_clocks()
        if self._beat.is_time():
            webhook_hints.match_stragglers()
            _beat(self.name)
            self._asking.put(survive, look_at_gateway)


class _Every:
    """Whether it is time again, by the monotonic clock: no clock that is set changes how often."""

    def __init__(self, gap: timedelta) -> None:
        self._seconds = gap.total_seconds()
        self._last: float | None = None

    def is_time(self) -> bool:
        now = time.monotonic()
        if self._last is not None and now - self._last < self._seconds:
            return False
        self._last = now
        return True


def correct_clocks() -> None:
    """Put right what a clock that was ahead for a while wrote: looks that are years away, and turns of future nights.

    Changes: `next_poll_at`, Comparison. Safe to repeat: yes.
    """
    attempts, nights_given_back = leases.correct_schedule(), nightly.give_back_future_nights(conf.now())
    if attempts or nights_given_back:
        logger.warning(
            "a clock was wrong: %d attempts are due now, %d future nights are free again", attempts, nights_given_back
        )


def is_recent(beat_at: datetime, now: datetime, within: timedelta) -> bool:
    """Whether a sign of life is that young. One from the future is by a clock that was ahead, and says nothing."""
    return -conf.CLOCK_SLACK <= now - beat_at < within


def sweep_for(seconds: float, *, name: str) -> int:
    """Sweep again and again for this long, resting while nothing is due; how many rows were seen to."""
    ends_at = time.monotonic() + seconds
    total = 0
    with Worker(name=name) as worker:
        while True:
            busy = worker.settle()
            total += busy
            if time.monotonic() >= ends_at:
                worker.deliver_for(STOP_SECONDS)
                return total
            if not busy:
                time.sleep(min(1.0, max(0.0, ends_at - time.monotonic())))


def look_at_gateway() -> None:
    """Ask for the balance, which moves no money: that FeexPay answers our key is its heartbeat.

    At most every five minutes, however many workers there are. Changes: Heartbeat.
    """
    if not _is_time_to_look(conf.now()):
        return
    try:
        conf.gateway().balance()
    except GatewayError as error:
        logger.warning("the gateway does not answer: %s", error.code)
    else:
        _beat(GATEWAY)


def _is_time_to_look(now: datetime) -> bool:
    """Whether this caller is the one to look now: the row is the turn-taking."""
    rows = Heartbeat.objects.filter(name=GATEWAY_LOOK)
    long_ago_or_in_the_future = Q(beat_at__lte=now - GATEWAY_LOOK_EVERY) | Q(beat_at__gt=now + conf.CLOCK_SLACK)
    if rows.filter(long_ago_or_in_the_future).update(beat_at=now):
        return True
    return Heartbeat.objects.get_or_create(name=GATEWAY_LOOK, defaults={"beat_at": now})[1]


def _beat(name: str) -> None:
    Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": conf.now()})


def _see_to(held: leases.Claim) -> None:
    """Work on one claim. An error here must not take the others along: the lease brings the row back."""
    try:
        advance(held)
    except AnyDatabaseError as error:
        logger.error("attempt %s is due again when its lease ends: %s", held.attempt_id, type(error).__name__)
    except Exception:
        logger.exception("attempt %s could not be seen to; it is due again when its lease ends", held.attempt_id)
    finally:
        close_old_connections()


def advance(held: leases.Claim, *, source: Source = Source.WORKER) -> None:
    """Bring a claimed attempt one step on: send what waits, give up what was lost on its way, ask about the rest."""
    if held.status is Status.CREATED:
        sending.send_due(held, source=source)
    elif held.status is Status.SENDING:
        sending.mark_sender_dead(held.attempt_id, source=source)
    else:
        reconcile_claimed(held, source=source)
