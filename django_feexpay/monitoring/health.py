"""Health of the payments, read from our tables only, so that it never waits for a slow gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import DatabaseError, connection
from django.db.models import Max

from django_feexpay import conf
from django_feexpay.background import worker
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.conf import feexpay
from django_feexpay.models import Attempt, Comparison, Discrepancy, Heartbeat, OutboxMessage
from django_feexpay.payments.admission import circuit_breaker, rate_budget
from django_feexpay.payments.outbox import ERROR_HANGS

WORKER_SILENT = timedelta(minutes=3)
_ATTEMPT_LATE = timedelta(minutes=5)
#: Signals arrive within two seconds; a receiver that raised is called again after two, four, eight seconds.
MESSAGE_LATE = timedelta(seconds=45)
_LONGEST_CALL = timedelta(seconds=30)
NIGHTLY_LATE = timedelta(hours=50)
_GATEWAY_SILENT = 2 * worker.GATEWAY_PROBE_EVERY


class Health(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Report:
    """`status`, and by component `ok` or the problem; for `breaker`, the open circuits."""

    status: Health
    components: dict[str, str]


def check() -> Report:
    """Check database, background work, late rows and gateway. DOWN: the database is unreachable."""
    try:
        components = _components()
    except DatabaseError:
        connection.close()
        return Report(Health.DOWN, {"database": "unreachable"})
    all_ok = all(word in ("ok", "unknown") for word in components.values())
    return Report(Health.OK if all_ok else Health.DEGRADED, components)


def _components() -> dict[str, str]:
    now = conf.now()
    beats = dict(Heartbeat.objects.values_list("name", "beat_at"))
    engines = [beats[name] for name in (worker.WORKER, worker.CLUSTER) if name in beats]
    return {
        "database": "ok",
        "worker": "ok" if any(worker.is_recent(beat, now, WORKER_SILENT) for beat in engines) else "silent",
        "attempts": _late_or_ok(Attempt.objects.filter(next_poll_at__lt=now - _ATTEMPT_LATE).exists()),
        "outbox": _outbox(now),
        "breaker": ", ".join(circuit_breaker.open_circuits(CATALOGUE)) or "ok",
        "budget": "slowed" if rate_budget.pause_seconds() else "ok",
        "comparison": _comparison(now),
        "gateway": gateway(beats.get(worker.GATEWAY), beats.get(worker.GATEWAY_PROBE), now),
    }


def _comparison(now: datetime) -> str:
    """`money_at_stake`: a discrepancy waits for staff; `late`: no nightly comparison ended in 50 hours."""
    if Discrepancy.objects.at_stake().exists():
        return "money_at_stake"
    nights = Comparison.objects.exclude(night=None).exclude(finished_at__gt=now + conf.CLOCK_SLACK)
    last = nights.aggregate(last=Max("finished_at"))["last"]
    on_time = last is None or feexpay.compare_at is None or now - last < NIGHTLY_LATE
    return _late_or_ok(not on_time)


def _outbox(now: datetime) -> str:
    """`hanging`: a receiver does not return; `late`: a receiver failed or was not called for 45 s."""
    waiting = OutboxMessage.objects.filter(next_delivery_at__isnull=False)
    if waiting.filter(last_error__startswith=ERROR_HANGS).exists():
        return "hanging"
    return _late_or_ok(waiting.filter(created_at__lt=now - MESSAGE_LATE).exists())


def _late_or_ok(late: bool) -> str:
    return "late" if late else "ok"


def gateway(beat_at: datetime | None, probed_at: datetime | None, now: datetime) -> str:
    """`unknown` before the first probe; `silent` if the probe had no answer in the time a call may take."""
    if beat_at is None:
        unanswered = probed_at is not None and now - probed_at > _LONGEST_CALL
        return "silent" if unanswered else "unknown"
    return "ok" if worker.is_recent(beat_at, now, _GATEWAY_SILENT) else "silent"
