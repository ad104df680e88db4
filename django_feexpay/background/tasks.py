"""The seam to django-q2, and the only module that knows it. Its tasks only wake the sweep: a task that is lost, late,
doubled or out of order changes nothing. No task carries an argument about a payment.

A host that does not list `django_q` among its apps runs `feexpay_worker` and is none the worse: hence the late imports.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.apps import apps

from django_feexpay import conf
from django_feexpay.background.worker import CLUSTER, WORKER, is_recent, sweep_for
from django_feexpay.models import Heartbeat
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import nightly

logger = logging.getLogger("django_feexpay.worker")

SCHEDULE_NAME = "feexpay_sweep"
NIGHT_SCHEDULE_NAME = "feexpay_compare_night"

#: A schedule fires once a minute at the finest; the sweep fills most of it and stays below the cluster's timeout.
_SWEEP_SECONDS = 45.0
_FRESH = timedelta(seconds=60)
_LOOK_EVERY_SECONDS = 30.0

_alone: tuple[float, bool] = (-_LOOK_EVERY_SECONDS, False)


def sweep() -> int:
    """What the schedule runs each minute."""
    return sweep_for(_SWEEP_SECONDS, name=CLUSTER)


def sweep_once() -> int:
    """What `wake` runs."""
    return sweep_for(0, name=CLUSTER)


def run_nightly() -> str:
    """What the second schedule runs each hour; most of the time there is nothing to do, and that is one statement.

    Missed nights are made up one after the other, as many as there is time for; the next hour goes on.
    """
    done: list[str] = []
    ends_at = time.monotonic() + _SWEEP_SECONDS
    while time.monotonic() < ends_at and (comparison := nightly.run_nightly(source=Source.WORKER)) is not None:
        done.append(f"comparison {comparison.pk}: {comparison.state}")
    return ", ".join(done)


def schedule() -> bool:
    """Make the two schedules, or bring them up to date; True if they are new. Safe to repeat: yes, by name.

    Raises LookupError where `django_q` is not among INSTALLED_APPS.
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
        name=NIGHT_SCHEDULE_NAME,
        defaults={
            "func": "django_feexpay.background.tasks.run_nightly",
            "schedule_type": Schedule.HOURLY,
            "repeats": -1,
        },
    )
    return created


def wake() -> None:
    """Something became due. Where only a cluster works, give it a task now; a worker sees it by itself.

    Call after the commit. Never raises: a lost wake-up costs a minute, not a payment.
    """
    if not apps.is_installed("django_q"):
        return
    try:
        if _cluster_is_alone():
            _enqueue_sweep()
    except Exception as error:  # brokers, the host's choice, share no error
        logger.warning("no wake-up for the cluster: %s", type(error).__name__)


def _enqueue_sweep() -> None:
    from django_q.tasks import async_task

    async_task("django_feexpay.background.tasks.sweep_once")


def _cluster_is_alone() -> bool:
    """Who works here, looked up at most every 30 s a process."""
    global _alone
    if time.monotonic() - _alone[0] >= _LOOK_EVERY_SECONDS:
        _alone = time.monotonic(), _cluster_works_alone()
    return _alone[1]


def _cluster_works_alone() -> bool:
    beats: dict[str, datetime] = dict(Heartbeat.objects.values_list("name", "beat_at"))
    now = conf.now()
    lives = {name for name in (CLUSTER, WORKER) if name in beats and is_recent(beats[name], now, _FRESH)}
    return lives == {CLUSTER}
