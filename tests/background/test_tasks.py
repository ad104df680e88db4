"""The django-q2 engine: one sweep task at a time, even if tasks are lost, late or duplicated."""

from __future__ import annotations

import os
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.signing import SignedPackage

from django_feexpay.background import tasks
from django_feexpay.background.worker import CLUSTER, WORKER, Intervals
from django_feexpay.models import Attempt, Credit, Heartbeat
from django_feexpay.payments import leases
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Recorder

pytestmark = pytest.mark.django_db(transaction=True)
#: SQLite's test database, in memory, locks whole tables, so a second thread's write fails.
sweeps_in_threads = pytest.mark.postgres_only


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the last lookup of the engine, and let a task sweep only once."""
    monkeypatch.setattr(tasks, "_engine", (-1000.0, False))
    monkeypatch.setattr(tasks, "_intervals", Intervals())
    monkeypatch.setattr(tasks, "_SWEEP_SECONDS", 0)


@pytest.fixture
def scheduled(clock: Clock) -> None:
    tasks.schedule()


def enqueued() -> list[tuple[Any, ...]]:
    """The arguments of the sweep tasks in the broker."""
    packed = OrmQ.objects.order_by("id").values_list("payload", flat=True)
    return [SignedPackage.loads(payload)["args"] for payload in packed]


def run_next_task() -> str:
    """Run the oldest task, as a cluster does."""
    row = OrmQ.objects.order_by("id")[0]
    arguments = SignedPackage.loads(row.payload)["args"]
    row.delete()
    return tasks.sweep(*arguments)


def leave_heartbeat(name: str, clock: Clock, seconds_ago: float = 0) -> None:
    beat_at = clock.at - timedelta(seconds=seconds_ago)
    Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": beat_at})


def test_schedule_is_created_once_and_updated() -> None:
    assert tasks.schedule() is True
    Schedule.objects.update(minutes=7)

    assert tasks.schedule() is False

    schedule, night = Schedule.objects.order_by("id")
    assert (schedule.name, schedule.func) == ("feexpay_sweep", "django_feexpay.background.tasks.sweep")
    assert (schedule.schedule_type, schedule.minutes, schedule.repeats) == (Schedule.MINUTES, 1, -1)
    assert (night.func, night.schedule_type) == ("django_feexpay.background.tasks.run_nightly", Schedule.HOURLY)


@sweeps_in_threads
def test_start_and_webhook_enqueue_one_task_which_settles_the_payment(
    begin: Begin, gateway: ModelGateway, signals: Recorder, clock: Clock, scheduled: None
) -> None:
    begin(merchant_reference="first")
    begin(merchant_reference="second")
    assert len(enqueued()) == 1

    gateway.charges[0].approve()
    clock.advance(5)
    assert run_next_task() == "swept"

    assert Credit.objects.count() == 1
    assert signals.names() in ([], ["payment_succeeded"])
    assert len(enqueued()) == 1, "the second payment is polled soon"


@sweeps_in_threads
def test_tasks_end_when_nothing_is_due_soon_and_the_next_webhook_enqueues_one(
    begin: Begin, gateway: ModelGateway, clock: Clock, scheduled: None
) -> None:
    begin()
    Attempt.objects.update(next_poll_at=clock.at + timedelta(seconds=91))
    run_next_task()
    assert (enqueued(), Heartbeat.objects.filter(name=tasks.SWEEP_TASK).exists()) == ([], False)

    with transaction.atomic():
        leases.make_due_now(Attempt.objects.get())
        assert enqueued() == [], "before the commit a task would see nothing"
    assert len(enqueued()) == 1


@sweeps_in_threads
def test_attempt_that_becomes_due_while_the_last_task_ends_is_swept_at_once(
    begin: Begin, gateway: ModelGateway, clock: Clock, scheduled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin()
    due = iter([False, True])
    monkeypatch.setattr(tasks, "_is_work_due_soon", lambda: next(due))

    run_next_task()

    assert len(enqueued()) == 1


@sweeps_in_threads
def test_duplicate_task_does_nothing(begin: Begin, gateway: ModelGateway, clock: Clock, scheduled: None) -> None:
    begin()
    ((turn,),) = enqueued()
    clock.advance(1)
    assert tasks.sweep(turn) == "swept"

    assert tasks.sweep(turn) == "another task sweeps"
    assert len(enqueued()) == 2, "the first one, left in the broker here, and its follower"


@sweeps_in_threads
def test_schedule_restarts_a_lost_task_but_no_running_one(
    begin: Begin, gateway: ModelGateway, clock: Clock, scheduled: None
) -> None:
    begin()
    OrmQ.objects.all().delete()  # as a Redis that forgets, or a worker that was killed
    gateway.last().approve()

    clock.advance(29)
    assert tasks.sweep() == "another task sweeps"
    clock.advance(1)
    assert tasks.sweep() == "swept"

    assert Credit.objects.count() == 1


@pytest.mark.parametrize(
    ("schedule", "worker_seconds_ago", "count"), [(False, None, 0), (True, None, 1), (True, 1, 0), (True, 61, 1)]
)
def test_wake_enqueues_only_where_the_schedule_exists_and_no_worker_is_alive(
    clock: Clock, schedule: bool, worker_seconds_ago: float | None, count: int
) -> None:
    if schedule:
        tasks.schedule()
    if worker_seconds_ago is not None:
        leave_heartbeat(WORKER, clock, worker_seconds_ago)

    tasks.wake()

    assert len(enqueued()) == count


@sweeps_in_threads
def test_scheduled_task_beside_a_worker_sweeps_once_and_enqueues_none(
    begin: Begin, gateway: ModelGateway, clock: Clock, scheduled: None
) -> None:
    leave_heartbeat(WORKER, clock)
    begin()
    gateway.last().approve()
    clock.advance(5)

    assert tasks.sweep() == "swept"

    assert (Credit.objects.count(), enqueued()) == (1, [])
    assert Heartbeat.objects.filter(name=CLUSTER).exists()
    assert not Heartbeat.objects.filter(name=tasks.SWEEP_TASK).exists()


def test_engine_is_looked_up_at_most_every_30_seconds(clock: Clock) -> None:
    tasks.wake()
    tasks.schedule()

    tasks.wake()

    assert enqueued() == []


def test_wake_never_raises(
    clock: Clock, scheduled: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ConnectionError("redis is away")

    monkeypatch.setattr("django_q.tasks.async_task", broken)

    tasks.wake()

    assert "no wake-up for the cluster: ConnectionError" in caplog.text


def test_nothing_is_enqueued_where_tasks_would_run_inside_the_request(
    clock: Clock, scheduled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_q.conf.Conf.SYNC", True)

    tasks.wake()

    assert enqueued() == []


def test_host_without_django_q_gets_no_error(clock: Clock, scheduled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.apps.apps.is_installed", lambda name: False)

    tasks.wake()

    assert enqueued() == []


def test_cluster_runs_the_nightly_comparison(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    clock.advance(2 * 86_400)

    assert tasks.run_nightly().endswith(": complete")
    assert tasks.run_nightly() == ""


def test_nightly_comparison_stops_with_its_cluster(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin()
    clock.advance(2 * 86_400)
    stopping = SimpleNamespace(sentinel=os.getppid(), status=Conf.STOPPING)
    monkeypatch.setattr("django_q.status.Stat.get_all", lambda: [stopping])

    assert tasks.run_nightly().endswith(": stopped")
