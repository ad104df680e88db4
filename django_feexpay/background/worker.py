"""The sweep: claim due attempts, work on each, deliver the outbox. Any number of sweeps may run at once.

`feexpay_worker` sweeps in a loop; a django-q2 cluster sweeps in short tasks (`tasks.py`). All their
state is in the database: after a kill the leases end, and the next sweep claims the same rows.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connection
from django.db.models import Q

from django_feexpay import conf, log_context, report_files
from django_feexpay.background.database_errors import cause_of
from django_feexpay.background.deliverer import Deliverer
from django_feexpay.background.worker_pool import WorkerPool, run_logged
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Heartbeat, PayoutState
from django_feexpay.payments import daily_totals, leases, payout_polls, payouts, sending, webhook_hints
from django_feexpay.payments.audit import anchors
from django_feexpay.payments.durability import is_autocommit_on
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.poll_results import PollResults
from django_feexpay.payments.receivers import LIMIT_SECONDS
from django_feexpay.payments.reconcile import reconcile_claimed
from django_feexpay.payments.reconciliation import nightly
from django_feexpay.privacy import numbers, purge

logger = logging.getLogger("django_feexpay.worker")

#: Called about once a minute, in a thread of their own, by every worker. apps.py adds the monitoring.
minutely: list[Callable[[], object]] = []
#: Called with the seconds of each round of `Worker.run`. apps.py adds the metrics.
round_observers: list[Callable[[float], object]] = []

_Held = TypeVar("_Held", leases.Claim, payout_polls.PayoutClaim)

#: Names of heartbeats: the two engines, FeexPay's last answer to the probe, and the last probe.
WORKER, CLUSTER = log_context.WORKER, log_context.CLUSTER
GATEWAY, GATEWAY_PROBE = "gateway", "gateway_probe"

#: An engine without a heartbeat for this time has stopped.
SILENT = timedelta(minutes=3)

GATEWAY_PROBE_EVERY = timedelta(seconds=300)
_HEARTBEAT_EVERY = timedelta(seconds=10)
_NIGHTLY_CHECK_EVERY = timedelta(seconds=60)
_CLOCK_CHECK_EVERY = timedelta(seconds=60)
_TOTALS_EVERY = timedelta(seconds=60)
_ERASE_EVERY = timedelta(seconds=60)
#: Payouts are few, and no payer waits for one at a screen.
_PAYOUTS_EVERY = timedelta(seconds=2)
_REPORTS_EVERY = timedelta(seconds=2)
#: It looks for one file, which is written soon after midnight (UTC), or soon after an outage.
_ANCHORS_EVERY = timedelta(minutes=5)
_MINUTE = timedelta(seconds=60)
_LONGEST_PAUSE_SECONDS = 30.0
#: While a sweep waits for FeexPay, it starts due deliveries this often.
_DELIVER_EVERY_SECONDS = 0.5
#: After the end of a poll the loop waits this long, so that one claim and one write serve all polls that end meanwhile.
_GATHER_SECONDS = 0.05
#: The loop notices `stop` after this time at the latest.
_NOTICE_STOP_SECONDS = 0.5
#: A claim that waited longer for a thread is released: a poll of TIMEOUT_SECONDS and its last answer fit in a lease.
_LONGEST_WAIT_FOR_THREAD = timedelta(seconds=3)
#: `Worker.sweep` waits this long for receivers; one that hangs is abandoned after LIMIT_SECONDS.
_DELIVERY_SECONDS = 2 * LIMIT_SECONDS


class AutocommitOffError(RuntimeError):
    """The worker cannot run on a connection that commits nothing."""

    def __init__(self) -> None:
        super().__init__(
            "Autocommit is off on the worker's database connection, so nothing it writes would be committed. Remove "
            'AUTOCOMMIT from DATABASES["default"] (Django\'s default is on) and start the worker again.'
        )


class Interval:
    """A timer of the monotonic clock: `has_passed` is True at most once per interval."""

    def __init__(self, gap: timedelta) -> None:
        self._seconds = gap.total_seconds()
        self._last = -math.inf

    def has_passed(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class Intervals:
    """The timers of the periodic work. A cluster's process keeps one: each of its tasks makes a new Worker."""

    def __init__(self) -> None:
        self.heartbeat = Interval(_HEARTBEAT_EVERY)
        self.nightly = Interval(_NIGHTLY_CHECK_EVERY)
        self.purge = Interval(_NIGHTLY_CHECK_EVERY)
        self.clocks = Interval(_CLOCK_CHECK_EVERY)
        self.totals = Interval(_TOTALS_EVERY)
        self.erasing = Interval(_ERASE_EVERY)
        self.payouts = Interval(_PAYOUTS_EVERY)
        self.reports = Interval(_REPORTS_EVERY)
        self.anchors = Interval(_ANCHORS_EVERY)
        self.minute = Interval(_MINUTE)


@dataclass(slots=True)
class _Kind:
    """One kind of due attempts, and the threads that work on it.

    which: the arguments of `leases.claim_due`. ahead: how many are claimed before a thread is free, so that no thread
    waits for a claim. may_have_more: the last claim took as many as it was allowed to.
    """

    pool: WorkerPool
    which: Mapping[str, Any]
    ahead: int = 0
    may_have_more: bool = False

    @property
    def wants_more(self) -> bool:
        """Whether to claim again before the next round: more may be due, and half of what was claimed ahead is used."""
        return self.may_have_more and self.pool.free + self.ahead >= max(1, self.ahead // 2)


class Worker:
    """Sweeps with one pool of threads per kind of work, so that no kind delays another.

    Polls of live attempts come first. Polls of settled attempts have fewer threads, so that webhooks about old payments
    cannot delay payers. Sends have their own threads, because a synchronous provider answers after minutes. So do
    deliveries, because a host's receiver may take any time, the nightly comparison, the purge, files for staff, and the
    monitoring.

    Use as a context manager: the exit waits for the calls under way, and releases what waits for a thread.
    `name`: of its heartbeat.
    """

    def __init__(
        self, *, name: str = WORKER, concurrency: int = 8, intervals: Intervals | None = None, nightly: bool = True
    ) -> None:
        self._name = name
        self._intervals = intervals or Intervals()
        self._does_nightly = nightly
        self._finished = threading.Event()
        self._polls = WorkerPool(concurrency, "poll", finished=self._finished)
        self._settled_polls = WorkerPool(max(1, concurrency // 2), "poll-settled", finished=self._finished)
        self._sends = WorkerPool(2 * concurrency, "send", finished=self._finished)
        self._kinds = (
            _Kind(self._sends, {"unsent": True}),
            _Kind(self._polls, {"unsent": False, "live": True}, ahead=concurrency),
            _Kind(self._settled_polls, {"unsent": False, "live": False}),
        )
        self._results = PollResults()
        self._comparison = WorkerPool(1, "compare")
        self._purge = WorkerPool(1, "purge")
        self._reports = WorkerPool(1, "report")
        self._monitor = WorkerPool(1, "monitor")
        self._stopping = threading.Event()
        self._deliverer = Deliverer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()  # the next worker continues a file, and polls what was only claimed
        for pool in (
            *(self._polls, self._settled_polls, self._sends),
            *(self._comparison, self._purge, self._reports, self._monitor),
        ):
            pool.close()
        run_logged(self._results.write)
        self._deliverer.close()

    def run(self, stop: threading.Event, *, every_seconds: float = 0.5, seconds: float = math.inf) -> None:
        """Sweep until `stop` is set or `seconds` have passed, without waiting for slow calls. Survives database errors.

        Raises: AutocommitOffError.
        """
        ends_at = time.monotonic() + seconds
        pause = every_seconds
        while not stop.is_set():
            began_at = time.monotonic()
            with log_context.entry_point(self._name):
                try:
                    self._do_round(stop)
                    self._continue_claiming(stop, min(began_at + every_seconds, ends_at))
                    pause = every_seconds
                except AnyDatabaseError as error:
                    pause = min(max(pause, every_seconds) * 2, _LONGEST_PAUSE_SECONDS)
                    logger.error("no sweep: %s; trying again in %.1f s", cause_of(error), pause)
                    connection.close()
                    self._do_work_of_the_minute()  # it tells the team that the database is away
                    stop.wait(min(pause, max(0.0, ends_at - time.monotonic())))
            if time.monotonic() >= ends_at:
                return

    def _do_round(self, stop: threading.Event) -> None:
        """Start the work that is due."""
        began_at = time.monotonic()
        try:
            self._results.write()
            self._claim(ahead=True)
            self._deliverer.start_due()
            self._do_periodic_work()
            if self._does_nightly and self._comparison.free and self._intervals.nightly.has_passed():
                self._comparison.put(run_logged, partial(nightly.run_nightly, source=Source.WORKER, stop=stop.is_set))
            if self._does_nightly and self._purge.free and self._intervals.purge.has_passed():
                self._purge.put(run_logged, partial(purge.run_nightly, source=Source.WORKER, stop=stop.is_set))
        finally:
            for observe in round_observers:
                observe(time.monotonic() - began_at)

    def _continue_claiming(self, stop: threading.Event, ends_at: float) -> None:
        """Until `ends_at`, write the results of polls, and claim more of each kind that has room for it again."""
        while not stop.is_set() and (left := ends_at - time.monotonic()) > 0:
            if not self._finished.wait(min(_NOTICE_STOP_SECONDS, left)):
                continue
            stop.wait(min(_GATHER_SECONDS, left))
            self._finished.clear()
            self._results.write()
            for kind in self._kinds:
                if kind.wants_more:
                    self._claim_kind(kind, kind.pool.free + kind.ahead)

    def sweep(self) -> int:
        """Do one round, wait for its calls and its receivers, and count the attempts worked on.

        Changes: what the functions of `payments` change. Raises: AutocommitOffError.
        Safe to repeat: yes, also concurrently.
        """
        with log_context.entry_point(self._name):
            claimed = self._claim(ahead=False)
            for pool in (self._polls, self._settled_polls, self._sends):
                while not pool.wait(_DELIVER_EVERY_SECONDS):
                    self._deliverer.start_due()  # a slow answer must not delay a signal
            self._results.write()
            self._do_periodic_work()
            self._deliverer.deliver_due(_DELIVERY_SECONDS)
            for pool in (self._purge, self._reports, self._monitor):
                pool.wait()
        return claimed

    def _claim(self, *, ahead: bool) -> int:
        """Claim as many due attempts of each kind as its threads can take, and start the work; return how many.

        ahead: claim also those that wait until a thread is free.
        """
        close_old_connections()
        if not is_autocommit_on():
            raise AutocommitOffError
        counts = [self._claim_kind(kind, kind.pool.free + (kind.ahead if ahead else 0)) for kind in self._kinds]
        due_payouts = payout_polls.claim_due(self._settled_polls.free) if self._intervals.payouts.has_passed() else []
        for held_payout in due_payouts:
            self._settled_polls.put(_work_on, advance_payout, held_payout, f"payout {held_payout.payout_id}")
        if due_payouts or any(counts):
            logger.debug("claimed: %d to send, %d to poll, %d settled to poll, %d payouts", *counts, len(due_payouts))
        return sum(counts) + len(due_payouts)

    def _claim_kind(self, kind: _Kind, limit: int) -> int:
        claims = leases.claim_due(limit, **kind.which)
        kind.may_have_more = len(claims) >= limit
        for held in claims:
            kind.pool.put(_work_on, self._advance, held, f"attempt {held.attempt_id}")
        return len(claims)

    def _advance(self, held: leases.Claim) -> None:
        """Do the next step of a claimed attempt; release it if it waited too long for a thread, or the worker stops."""
        if self._stopping.is_set() or conf.now() - held.claimed_at > _LONGEST_WAIT_FOR_THREAD:
            leases.release(held, held.due_at)
        else:
            advance(held, poll_later=self._results.add)

    def _do_periodic_work(self) -> None:
        if self._intervals.clocks.has_passed():
            correct_clock_errors()
        if self._intervals.heartbeat.has_passed():
            webhook_hints.match_late_references()
            _write_heartbeat(self._name)
            self._polls.put(run_logged, probe_gateway)
        if self._intervals.totals.has_passed():
            self._settled_polls.put(run_logged, daily_totals.update)
        if self._does_nightly and self._comparison.free and self._intervals.anchors.has_passed():
            self._comparison.put(run_logged, anchors.write_nightly)
        if self._purge.free and self._intervals.erasing.has_passed():
            self._purge.put(run_logged, partial(numbers.erase_unneeded, self._stopping.is_set))
        if self._reports.free and self._intervals.reports.has_passed():
            self._reports.put(run_logged, report_files.work, self._stopping.is_set)
        self._do_work_of_the_minute()

    def _do_work_of_the_minute(self) -> None:
        if self._monitor.free and self._intervals.minute.has_passed():
            for work in minutely:
                self._monitor.put(run_logged, work)


def correct_clock_errors() -> None:
    """Correct times that a clock running ahead wrote: polls planned years ahead, comparisons of future nights.

    Changes: `next_poll_at`, Comparison. Safe to repeat: yes.
    """
    attempts, comparisons = leases.correct_schedule(), nightly.release_future_nights(conf.now())
    if attempts or comparisons:
        logger.warning(
            "a clock was wrong: %d attempts are due now, %d comparisons of future nights were released",
            attempts,
            comparisons,
        )


def is_recent(beat_at: datetime, now: datetime, within: timedelta) -> bool:
    """Whether a heartbeat is younger than `within`. A heartbeat from the future, by a wrong clock, is not recent."""
    return -conf.CLOCK_SLACK <= now - beat_at < within


def probe_gateway() -> None:
    """Ask FeexPay for our balance, which moves no money, to learn whether it answers our key.

    At most once in five minutes, however many workers run. Changes: Heartbeat.
    """
    now = conf.now()
    last = Heartbeat.objects.filter(name=GATEWAY_PROBE)
    is_due = Q(beat_at__lte=now - GATEWAY_PROBE_EVERY) | Q(beat_at__gt=now + conf.CLOCK_SLACK)
    # The row decides which worker probes: the update or the insert succeeds for one of them.
    if not last.filter(is_due).update(beat_at=now):
        _, is_first = Heartbeat.objects.get_or_create(name=GATEWAY_PROBE, defaults={"beat_at": now})
        if not is_first:
            return
    try:
        conf.gateway().balance()
    except GatewayError as error:
        logger.warning("the gateway does not answer: %s: %s", error.code, error)
    else:
        _write_heartbeat(GATEWAY)


def _write_heartbeat(name: str) -> None:
    Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": conf.now()})


def _work_on(do_next_step: Callable[[_Held], None], held: _Held, name: str) -> None:
    """Work on one claim. An error must not stop the others: when the lease ends, the claimed row is due again."""
    try:
        do_next_step(held)
    except AnyDatabaseError as error:
        logger.error("%s is due again when its lease ends: %s", name, cause_of(error))
    except Exception:
        logger.exception("%s failed; it is due again when its lease ends", name)
    finally:
        close_old_connections()


def advance(
    held: leases.Claim,
    *,
    source: Source = Source.WORKER,
    poll_later: Callable[[Attempt], None] = leases.schedule,
) -> None:
    """Do the next step of a claimed attempt: send it, report its sender dead, or poll it.

    poll_later: called when a poll moves nothing.
    """
    if held.status is Status.CREATED:
        sending.send_due(held, source=source)
    elif held.status is Status.SENDING:
        sending.mark_sender_dead(held.attempt_id, source=source)
    else:
        reconcile_claimed(held, source=source, poll_later=poll_later)


def advance_payout(held: payout_polls.PayoutClaim, *, source: Source = Source.WORKER) -> None:
    """Do the next step of a claimed payout: send it, report its sender dead, or ask about it."""
    if held.state is PayoutState.CREATED:
        payouts.send_claimed(held, source=source)
    elif held.state is PayoutState.SENDING:
        payouts.mark_unknown(held.payout_id, source=source, because="sender_died")
    else:
        payout_polls.ask_claimed(held, source=source)
