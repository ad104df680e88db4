"""The django-q2 engine: short sweep tasks that enqueue each other while work is due. The only module that imports it.

A payment that starts, or a webhook, enqueues the first task (`wake`). Each task sweeps for a few seconds and enqueues
the next one while anything is due soon. A schedule starts them again each minute if one was lost. Short tasks let a
cluster stop within seconds. The Heartbeat row SWEEP_TASK allows one task at a time: each task gets the time in this row
as its argument, and a task with another time does nothing. So a task that is lost, late or enqueued twice delays
payments by a minute at most.

Hosts without `django_q` in INSTALLED_APPS run `feexpay_worker`: that is why `django_q` is imported inside functions.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import datetime, timedelta

from django.apps import apps
from django.db.models import Q

from django_feexpay import conf, log_context, report_files
from django_feexpay.background.worker import CLUSTER, WORKER, Intervals, Worker, is_recent
from django_feexpay.models import Attempt, Heartbeat, OutboxMessage, Payout
from django_feexpay.payments.audit import anchors
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import nightly
from django_feexpay.privacy import purge

logger = logging.getLogger("django_feexpay.worker")

SCHEDULE_NAME = "feexpay_sweep"
NIGHTLY_SCHEDULE_NAME = "feexpay_compare_night"

#: The Heartbeat row that exists while a sweep task is enqueued or runs.
SWEEP_TASK = "sweep_task"

_SWEEP_SECONDS = 3.0
#: A task enqueues the next one if work is due within this time. The schedule runs each minute, checked twice a minute.
_SOON = timedelta(seconds=90)
#: A task that was not followed by another after this time is lost.
_LOST_AFTER = timedelta(seconds=30)
#: A feexpay_worker with a heartbeat of this age does the work.
_WORKER_ALIVE = timedelta(seconds=60)
_NIGHTLY_SECONDS = 45.0
_CHECK_ENGINE_EVERY_SECONDS = 30.0

_intervals = Intervals()
#: (monotonic time of the check, whether tasks of a cluster do the work)
_engine: tuple[float, bool] = (-_CHECK_ENGINE_EVERY_SECONDS, False)


def sweep(enqueued_at: datetime | None = None) -> str:
    """Sweep for some seconds, then enqueue the next task if work is due soon. `enqueued_at`: None from the schedule.

    Changes: Heartbeat, and what the functions of `payments` change. Safe to repeat: yes, also concurrently.
    """
    began_at = _begin(enqueued_at)
    if began_at is None:
        return "another task sweeps"
    stop, needed = threading.Event(), not _is_worker_alive()
    with Worker(name=CLUSTER, intervals=_intervals, nightly=False) as worker:
        worker.run(stop, seconds=_SWEEP_SECONDS if needed else 0)
        # Enqueue before the `with` block ends, which waits for slow calls: another process can sweep meanwhile.
        if needed and _is_work_due_soon():
            enqueued_at = conf.now()
            if Heartbeat.objects.filter(name=SWEEP_TASK, beat_at=began_at).update(beat_at=enqueued_at):
                _enqueue(enqueued_at)
        else:
            Heartbeat.objects.filter(name=SWEEP_TASK, beat_at=began_at).delete()
            # A `wake` just before the delete saw the row and enqueued nothing, so look once more for its work.
            if needed and _is_work_due_soon():
                _enqueue_first()
    return "swept"


@log_context.entry_point(log_context.CLUSTER)
def run_nightly() -> str:
    """Write the audit anchor that is due, then run the nightly comparisons that are due, then the purge.

    Scheduled each hour; usually three statements. A purge that takes longer is continued an hour later.
    """
    anchors.write_nightly()
    done: list[str] = []
    ends_at = time.monotonic() + _NIGHTLY_SECONDS
    while time.monotonic() < ends_at:
        comparison = nightly.run_nightly(source=Source.WORKER, stop=_is_cluster_stopping)
        if comparison is None:
            break
        done.append(f"comparison {comparison.pk}: {comparison.state}")
        if _is_cluster_stopping():
            return ", ".join(done)
    purged = purge.run_nightly(source=Source.WORKER, stop=lambda: time.monotonic() >= ends_at or _is_cluster_stopping())
    if purged is not None:
        done.append(f"purge {purged.pk}: {purged.state}")
    return ", ".join(done)


def schedule() -> bool:
    """Create or update the two schedules, found by name; return True if they are new. Safe to repeat: yes.

    Raises: LookupError where `django_q` is not among INSTALLED_APPS.
    """
    apps.get_app_config("django_q")
    from django_q.models import Schedule

    created: bool
    _, created = Schedule.objects.update_or_create(
        name=SCHEDULE_NAME,
        defaults={
            "func": "django_feexpay.background.tasks.sweep",
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
            "repeats": -1,
        },
    )
    Schedule.objects.update_or_create(
        name=NIGHTLY_SCHEDULE_NAME,
        defaults={
            "func": "django_feexpay.background.tasks.run_nightly",
            "schedule_type": Schedule.HOURLY,
            "repeats": -1,
        },
    )
    return created


def wake() -> None:
    """Enqueue a sweep task because an attempt became due, unless one is enqueued already or a feexpay_worker is alive.

    Runs after each such commit (`leases.due_listeners`). Never raises: a lost wake-up only delays a poll by a minute.
    Changes: Heartbeat. Safe to repeat: yes.
    """
    global _engine
    try:
        if time.monotonic() - _engine[0] >= _CHECK_ENGINE_EVERY_SECONDS:
            _engine = time.monotonic(), _does_cluster_sweep()
        if _engine[1]:
            _enqueue_first()
    except Exception as error:  # every broker, chosen by the host, has its own errors
        logger.warning("no wake-up for the cluster: %s", type(error).__name__)


def _does_cluster_sweep() -> bool:
    if not apps.is_installed("django_q"):
        return False
    from django_q.conf import Conf
    from django_q.models import Schedule

    if Conf.SYNC:  # tasks would run inside the payer's request
        return False
    return Schedule.objects.filter(name=SCHEDULE_NAME).exists() and not _is_worker_alive()


def _is_worker_alive() -> bool:
    beat_at = Heartbeat.objects.filter(name=WORKER).values_list("beat_at", flat=True).first()
    return beat_at is not None and is_recent(beat_at, conf.now(), _WORKER_ALIVE)


def _is_work_due_soon() -> bool:
    soon = conf.now() + _SOON
    return (
        Attempt.objects.filter(next_poll_at__lte=soon).exists()
        or OutboxMessage.objects.filter(next_delivery_at__lte=soon).exists()
        or Payout.objects.filter(next_poll_at__lte=soon).exists()
        or report_files.is_due()
    )


# --- one task at a time ------------------------------------------------------------------------------


def _enqueue_first() -> None:
    enqueued_at = conf.now()
    if Heartbeat.objects.get_or_create(name=SWEEP_TASK, defaults={"beat_at": enqueued_at})[1]:
        _enqueue(enqueued_at)


def _begin(enqueued_at: datetime | None) -> datetime | None:
    """Take the row for the task that begins; None if another task sweeps.

    The enqueued task takes it. A task of the schedule takes it if there is no other task, or if the last one is lost.
    """
    now = conf.now()
    row = Heartbeat.objects.filter(name=SWEEP_TASK)
    if enqueued_at is not None:
        return now if row.filter(beat_at=enqueued_at).update(beat_at=now) else None
    is_lost = Q(beat_at__lte=now - _LOST_AFTER) | Q(beat_at__gt=now + conf.CLOCK_SLACK)
    if row.filter(is_lost).update(beat_at=now):
        return now
    return now if Heartbeat.objects.get_or_create(name=SWEEP_TASK, defaults={"beat_at": now})[1] else None


def _enqueue(enqueued_at: datetime) -> None:
    from django_q.tasks import async_task

    async_task("django_feexpay.background.tasks.sweep", enqueued_at, save=False)


def _is_cluster_stopping() -> bool:
    """Whether our cluster got SIGTERM. This is known only if its state is in a cache that processes share."""
    from django_q.conf import Conf
    from django_q.status import Stat

    return any(stat.sentinel == os.getppid() and stat.status == Conf.STOPPING for stat in Stat.get_all())
