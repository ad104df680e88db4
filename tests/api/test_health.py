"""GET health/: for monitors. It reads only rows, so these tests have no gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.utils import timezone

from django_feexpay.models import Attempt, Comparison, Discrepancy, Heartbeat, OutboxMessage
from tests.api.caller import Caller
from tests.api.test_history import store_payment

pytestmark = pytest.mark.django_db

ALL_OK = dict.fromkeys(("database", "worker", "attempts", "outbox", "breaker", "budget", "comparison", "gateway"), "ok")


@contextmanager
def database_unavailable() -> Iterator[None]:
    def fail(*args: Any) -> Any:
        raise OperationalError("the server closed the connection")

    with connection.execute_wrapper(fail):
        yield


@pytest.fixture
def healthy(db: None) -> None:
    for name in ("worker", "gateway"):
        Heartbeat.objects.create(name=name, beat_at=timezone.now())


def test_healthy_system_is_ok(caller: Caller, healthy: None) -> None:
    response = caller.get("health/")

    assert (response.status_code, response.json()) == (200, {"status": "ok", "components": ALL_OK})


def test_anonymous_callers_read_only_the_status(stranger: Caller, healthy: None) -> None:
    response = stranger.get("health/")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_cluster_replaces_the_worker(caller: Caller, healthy: None) -> None:
    Heartbeat.objects.filter(name="worker").update(name="cluster")

    assert caller.get("health/").json()["status"] == "ok"


def test_gateway_not_asked_yet_is_ok(caller: Caller, healthy: None) -> None:
    Heartbeat.objects.filter(name="gateway").delete()

    assert caller.get("health/").json() == {"status": "ok", "components": ALL_OK | {"gateway": "unknown"}}


@pytest.mark.parametrize(("name", "minutes", "component"), [("worker", 4, "worker"), ("gateway", 11, "gateway")])
def test_stale_heartbeat_degrades(caller: Caller, healthy: None, name: str, minutes: int, component: str) -> None:
    Heartbeat.objects.filter(name=name).update(beat_at=timezone.now() - timedelta(minutes=minutes))

    response = caller.get("health/")

    assert response.status_code == 200
    assert response.json() == {"status": "degraded", "components": ALL_OK | {component: "silent"}}


def test_worker_without_heartbeat_degrades(stranger: Caller) -> None:
    assert stranger.get("health/").json() == {"status": "degraded"}


def test_overdue_attempt_degrades(caller: Caller, player: User, healthy: None) -> None:
    store_payment(player)
    Attempt.objects.update(next_poll_at=timezone.now() - timedelta(minutes=6))

    response = caller.get("health/")

    assert response.json() == {"status": "degraded", "components": ALL_OK | {"attempts": "late"}}


@pytest.mark.parametrize(
    ("age_seconds", "error", "word"),
    [
        (46, "", "late"),
        (46, "ValueError: shop.receivers.give_coins", "late"),
        (44, "ValueError: shop.receivers.give_coins", "ok"),
        (0, "hangs: shop.receivers.give_coins", "hanging"),
    ],
    ids=["never called", "fails", "failed once", "hangs"],
)
def test_undelivered_signal_degrades_within_a_minute(
    caller: Caller, player: User, healthy: None, age_seconds: int, error: str, word: str
) -> None:
    """Also while the next delivery is scheduled for later."""
    OutboxMessage.objects.create(
        payment=store_payment(player),
        signal="payment_succeeded",
        created_at=timezone.now() - timedelta(seconds=age_seconds),
        next_delivery_at=timezone.now() + timedelta(minutes=10),
        last_error=error,
    )

    response = caller.get("health/")

    status = "ok" if word == "ok" else "degraded"
    assert response.json() == {"status": status, "components": ALL_OK | {"outbox": word}}


@pytest.mark.parametrize("kind", ["caller", "stranger"])
def test_unavailable_database_is_down_for_every_caller(request: pytest.FixtureRequest, kind: str) -> None:
    client: Caller = request.getfixturevalue(kind)

    with database_unavailable():
        response = client.get("health/")

    assert (response.status_code, response.json()) == (503, {"status": "down"})


def test_unavailable_database_is_503_for_other_calls(caller: Caller) -> None:
    with database_unavailable():
        response = caller.get("history/")

    assert (response.status_code, response.json()["code"]) == (503, "gateway_unavailable")
    assert response.headers["Retry-After"] == "5"


def test_open_discrepancy_with_money_at_stake_is_reported(caller: Caller, healthy: None) -> None:
    today = timezone.now()
    comparison = Comparison.objects.create(
        first_day=today, last_day=today, night=today, started_at=today, beat_at=today, finished_at=today
    )
    discrepancy = Discrepancy.objects.create(
        kind="missing_here", identity="x", comparison=comparison, last_comparison=comparison, found_at=today
    )
    assert caller.get("health/").json()["status"] == "ok"

    Discrepancy.objects.filter(pk=discrepancy.pk).update(money_at_stake=True)
    assert caller.get("health/").json()["components"]["comparison"] == "money_at_stake"

    Discrepancy.objects.filter(pk=discrepancy.pk).update(state="closed")
    assert caller.get("health/").json()["status"] == "ok"


def test_missing_nightly_comparison_is_reported(caller: Caller, healthy: None, settings: Any) -> None:
    long_ago = timezone.now() - timedelta(hours=51)
    instants = ("first_day", "last_day", "night", "started_at", "beat_at", "finished_at")
    Comparison.objects.create(**dict.fromkeys(instants, long_ago))
    assert caller.get("health/").json()["components"]["comparison"] == "late"

    settings.FEEXPAY = settings.FEEXPAY | {"COMPARE_AT": ""}
    assert caller.get("health/").json()["components"]["comparison"] == "ok"
