"""The seam to django-q2: an alarm clock whose loss changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django_q.models import OrmQ, Schedule

from django_feexpay.background import tasks
from django_feexpay.background.worker import CLUSTER, WORKER
from django_feexpay.models import Attempt, Credit, Heartbeat
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, now

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def look_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who works here is remembered for 30 s a process."""
    monkeypatch.setattr(tasks, "_alone", (-1000.0, False))


def beat(name: str, clock: Clock, seconds_ago: float = 0) -> None:
    beat_at = clock.at - timedelta(seconds=seconds_ago)
    Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": beat_at})


def test_schedule_is_made_once_and_brought_up_to_date() -> None:
    assert tasks.schedule() is True
    Schedule.objects.update(minutes=7)

    assert tasks.schedule() is False

    schedule, night = Schedule.objects.order_by("id")
    assert (schedule.name, schedule.func) == ("feexpay_sweep", "django_feexpay.background.tasks.sweep")
    assert (schedule.schedule_type, schedule.minutes, schedule.repeats) == (Schedule.MINUTES, 1, -1)
    assert (night.func, night.schedule_type) == ("django_feexpay.background.tasks.run_nightly", Schedule.HOURLY)


def test_sweep_once_settles_what_is_due(begin: Begin, gateway: ModelGateway) -> None:
    begin()
    gateway.last().approve()
    Attempt.objects.update(next_poll_at=now())

    assert tasks.sweep_once() == 1

    assert Credit.objects.count() == 1
    assert Heartbeat.objects.filter(name=CLUSTER).exists()


def test_scheduled_sweep_fills_most_of_its_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, str]] = []

    def sweep_for(seconds: float, *, name: str) -> int:
        asked.append((seconds, name))
        return 3

    monkeypatch.setattr(tasks, "sweep_for", sweep_for)

    assert tasks.sweep() == 3

    assert asked == [(45.0, "cluster")]


@pytest.mark.parametrize(
    ("cluster", "worker", "queued"),
    [(None, None, 0), (1, None, 1), (1, 1, 0), (1, 61, 1), (61, None, 0), (None, 1, 0)],
)
def test_wake_gives_a_task_only_where_a_cluster_works_alone(
    clock: Clock, cluster: float | None, worker: float | None, queued: int
) -> None:
    for name, seconds_ago in ((CLUSTER, cluster), (WORKER, worker)):
        if seconds_ago is not None:
            beat(name, clock, seconds_ago)

    tasks.wake()

    assert OrmQ.objects.count() == queued


def test_wake_looks_up_who_works_at_most_every_30_seconds(clock: Clock) -> None:
    tasks.wake()
    beat(CLUSTER, clock)

    tasks.wake()

    assert OrmQ.objects.count() == 0


def test_wake_never_raises(clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ConnectionError("redis is away")

    monkeypatch.setattr("django_q.tasks.async_task", broken)
    beat(CLUSTER, clock)

    tasks.wake()

    assert "no wake-up for the cluster: ConnectionError" in caplog.text


def test_host_without_django_q_is_none_the_worse(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.apps.apps.is_installed", lambda name: False)
    beat(CLUSTER, clock)

    tasks.wake()

    assert OrmQ.objects.count() == 0


def test_cluster_keeps_the_night(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    clock.advance(2 * 86_400)

    assert tasks.run_nightly().endswith(": complete")
    assert tasks.run_nightly() == ""
