"""GET health/: for monitors. It reads only rows, so these tests have no gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from django_feexpay import cache_state
from django_feexpay.models import Attempt, Comparison, Discrepancy, Erasure, Heartbeat, OutboxMessage, Purge
from django_feexpay.models.fields import Sealed
from django_feexpay.monitoring import measurements
from tests.api.caller import Caller
from tests.api.test_history import store_payment
from tests.conftest import Configure

pytestmark = pytest.mark.django_db

TOKEN = "the-old-token-of-the-monitor"

COMPONENTS = (
    "database",
    "migrations",
    "cache",
    "worker",
    "attempts",
    "outbox",
    "breaker",
    "budget",
    "comparison",
    "purge",
    "secrets",
    "gateway",
    "webhooks",
    "backup",
)


def report(status: str, changes: dict[str, str] | None = None) -> dict[str, Any]:
    """What a monitor reads, without the troubles: every component is `ok` except `changes`."""
    return {"status": status, "components": dict.fromkeys(COMPONENTS, "ok") | (changes or {}), "dropped_webhooks": 0}


class Monitor:
    """Reads the report with the monitor's token."""

    def __init__(self) -> None:
        self._caller = Caller()

    def get(self, path: str) -> Any:
        return self._caller.get(path, {"Authorization": f"Bearer {TOKEN}"})


def read(monitor: Monitor) -> dict[str, Any]:
    """The report without the troubles, which tests/monitoring reads."""
    body: dict[str, Any] = monitor.get("health/").json()
    return {name: value for name, value in body.items() if name != "troubles"}


@pytest.fixture
def monitor(db: None, configure: Configure) -> Monitor:
    configure(MONITOR_TOKEN=["a-new-token-of-the-monitor", TOKEN])
    return Monitor()


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


def test_healthy_system_is_ok(monitor: Monitor, healthy: None) -> None:
    response = monitor.get("health/")

    assert (response.status_code, response.json()) == (200, {**report("ok"), "troubles": []})


def test_anonymous_callers_read_only_the_status(stranger: Caller, healthy: None) -> None:
    response = stranger.get("health/")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_report_is_for_monitors_and_staff(
    caller: Caller, stranger: Caller, player: User, monitor: Monitor, healthy: None
) -> None:
    """A player's token reads no figure of the shop, and a circuit tells everyone which provider to avoid."""
    cache_state.put("breaker:mtn_bj:open", (timezone.now().timestamp() - 5, timezone.now().timestamp() + 25), 600)
    everyone = {"status": "degraded", "providers_in_trouble": ["mtn_bj"]}

    assert (caller.get("health/").json(), stranger.get("health/").json()) == (everyone, everyone)
    assert stranger.get("health/", {"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert read(monitor) == report("degraded", {"breaker": "mtn_bj"})
    (trouble,) = monitor.get("health/").json()["troubles"]
    assert (trouble["fact"], trouble["subject"], trouble["severity"]) == ("circuit_open", "mtn_bj", "critical")
    assert trouble["advice"].startswith("Wait, or close the provider")

    User.objects.filter(pk=player.pk).update(is_staff=True)
    assert caller.get("health/").json()["components"]["breaker"] == "mtn_bj"


def test_probes_answer_without_sign_in_and_without_limit(stranger: Caller, configure: Configure) -> None:
    configure(RATE_LIMITS={"anonymous": "1/hour"})

    for _ in range(3):
        assert stranger.get("health/live/").json() == {"status": "ok"}
        ready = stranger.get("health/ready/", {"Authorization": "Bearer wrong"})
        assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok", "migrations": "ok"})
    with database_unavailable():
        assert stranger.get("health/live/").status_code == 200
        unready = stranger.get("health/ready/")
    assert (unready.status_code, unready.json()) == (503, {"status": "down", "checks": {"database": "unreachable"}})


def test_process_with_unapplied_migrations_is_not_ready(
    stranger: Caller, monitor: Monitor, healthy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "_none_pending", False)
    MigrationRecorder(connection).migration_qs.filter(app="feexpay").order_by("-pk")[:1].get().delete()

    assert stranger.get("health/ready/").json()["checks"]["migrations"] == "pending"
    assert read(monitor) == report("degraded", {"migrations": "pending"})


def test_cluster_replaces_the_worker(monitor: Monitor, healthy: None) -> None:
    Heartbeat.objects.filter(name="worker").update(name="cluster")

    assert monitor.get("health/").json()["status"] == "ok"


def test_gateway_not_asked_yet_is_ok(monitor: Monitor, healthy: None) -> None:
    Heartbeat.objects.filter(name="gateway").delete()

    assert read(monitor) == report("ok", {"gateway": "unknown"})


@pytest.mark.parametrize(("name", "minutes", "component"), [("worker", 4, "worker"), ("gateway", 11, "gateway")])
def test_stale_heartbeat_degrades(monitor: Monitor, healthy: None, name: str, minutes: int, component: str) -> None:
    Heartbeat.objects.filter(name=name).update(beat_at=timezone.now() - timedelta(minutes=minutes))

    response = monitor.get("health/")

    assert response.status_code == 200
    assert read(monitor) == report("degraded", {component: "silent"})


def test_worker_without_heartbeat_degrades(stranger: Caller) -> None:
    assert stranger.get("health/").json() == {"status": "degraded"}


def test_overdue_attempt_degrades(monitor: Monitor, player: User, healthy: None) -> None:
    store_payment(player)
    Attempt.objects.update(next_poll_at=timezone.now() - timedelta(minutes=6))

    assert read(monitor) == report("degraded", {"attempts": "late"})


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
    monitor: Monitor, player: User, healthy: None, age_seconds: int, error: str, word: str
) -> None:
    """Also while the next delivery is scheduled for later."""
    OutboxMessage.objects.create(
        payment=store_payment(player),
        signal="payment_succeeded",
        created_at=timezone.now() - timedelta(seconds=age_seconds),
        next_delivery_at=timezone.now() + timedelta(minutes=10),
        last_error=error,
    )

    status = "ok" if word == "ok" else "degraded"
    assert read(monitor) == report(status, {"outbox": word})


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


def test_open_discrepancy_with_money_at_stake_is_reported(monitor: Monitor, healthy: None) -> None:
    today = timezone.now()
    comparison = Comparison.objects.create(
        first_day=today, last_day=today, night=today, started_at=today, beat_at=today, finished_at=today
    )
    discrepancy = Discrepancy.objects.create(
        kind="missing_here", identity="x", comparison=comparison, last_comparison=comparison, found_at=today
    )
    assert monitor.get("health/").json()["status"] == "ok"

    Discrepancy.objects.filter(pk=discrepancy.pk).update(money_at_stake=True)
    assert monitor.get("health/").json()["components"]["comparison"] == "money_at_stake"

    Discrepancy.objects.filter(pk=discrepancy.pk).update(state="closed")
    assert monitor.get("health/").json()["status"] == "ok"


def test_missing_nightly_comparison_is_reported(monitor: Monitor, healthy: None, settings: Any) -> None:
    long_ago = timezone.now() - timedelta(hours=51)
    instants = ("first_day", "last_day", "night", "started_at", "beat_at", "finished_at")
    Comparison.objects.create(**dict.fromkeys(instants, long_ago))
    assert monitor.get("health/").json()["components"]["comparison"] == "late"

    settings.FEEXPAY = settings.FEEXPAY | {"COMPARE_AT": ""}
    assert monitor.get("health/").json()["components"]["comparison"] == "ok"


def test_late_purge_a_number_kept_too_long_and_a_waiting_person_are_reported(
    monitor: Monitor, healthy: None, player: User
) -> None:
    def component() -> str:
        return str(monitor.get("health/").json()["components"]["purge"])

    now = timezone.now()
    night = Purge.objects.create(
        night=now, source="worker", started_at=now, beat_at=now, finished_at=now - timedelta(hours=51)
    )
    assert component() == "late"
    night.delete()
    payment = store_payment(player, at=now - timedelta(hours=26), status="failed")
    Attempt.objects.filter(payment=payment).update(
        msisdn_sealed=Sealed.of({"national": "x"}), settled_at=now - timedelta(hours=24.5)
    )
    assert component() == "ok"
    Attempt.objects.update(settled_at=now - timedelta(hours=25.5))
    assert component() == "late"
    Erasure.objects.create(actor="1", asked_at=now - timedelta(days=26))
    assert component() == "erasure_waits"
