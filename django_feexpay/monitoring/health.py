"""Is anybody looking after the payments? Read from rows alone: a health check must not hang on a slow gateway."""

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
from django_feexpay.payments.outbox import HANGS

_WORKER_SILENT = timedelta(minutes=3)
_ROW_FORGOTTEN = timedelta(minutes=5)
#: Signals are told within a second or two; a receiver that raised once is tried again after two, four, eight seconds.
MESSAGE_LATE = timedelta(seconds=45)
_LONGEST_CALL = timedelta(seconds=30)
_NIGHT_FORGOTTEN = timedelta(hours=50)
_GATEWAY_SILENT = 2 * worker.GATEWAY_PROBE_EVERY


class Health(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Report:
    """`status` and, by component, `ok` or what is wrong in one word; of `breaker`, the circuits that are open."""

    status: Health
    components: dict[str, str]


def look() -> Report:
    """Database, background work, forgotten rows, gateway and trouble with it.

    DOWN only without the database: the rest heals by itself.
    """
    try:
        components = _components()
    except DatabaseError:
        connection.close()
        return Report(Health.DOWN, {"database": "unreachable"})
    well = all(word in ("ok", "unknown") for word in components.values())
    return Report(Health.OK if well else Health.DEGRADED, components)


def _components() -> dict[str, str]:
    now = conf.now()
    beats = dict(Heartbeat.objects.values_list("name", "beat_at"))
    at_work = [beats[name] for name in (worker.WORKER, worker.CLUSTER) if name in beats]
    return {
        "database": "ok",
        "worker": "ok" if any(worker.is_recent(beat, now, _WORKER_SILENT) for beat in at_work) else "silent",
        "attempts": _forgotten(Attempt.objects.filter(next_poll_at__lt=now - _ROW_FORGOTTEN).exists()),
        "outbox": _outbox(now),
        "breaker": ", ".join(circuit_breaker.open_circuits(CATALOGUE)) or "ok",
        "budget": "slowed" if rate_budget.pause_seconds() else "ok",
        "comparison": _comparison(now),
        "gateway": _gateway(beats.get(worker.GATEWAY), beats.get(worker.GATEWAY_PROBE), now),
    }


def _comparison(now: datetime) -> str:
    """Whether somebody's money waits for staff, and whether the nights are kept where they were kept before."""
    if Discrepancy.objects.at_stake().exists():
        return "money_at_stake"
    nights = Comparison.objects.exclude(night=None).exclude(finished_at__gt=now + conf.CLOCK_SLACK)
    last = nights.aggregate(last=Max("finished_at"))["last"]
    kept = last is None or feexpay.compare_at is None or now - last < _NIGHT_FORGOTTEN
    return _forgotten(not kept)


def _outbox(now: datetime) -> str:
    """Whether every signal reaches its receivers: one that fails, hangs or is never called shows within a minute."""
    waiting = OutboxMessage.objects.filter(next_delivery_at__isnull=False)
    if waiting.filter(last_error__startswith=HANGS).exists():
        return "hanging"
    return _forgotten(waiting.filter(created_at__lt=now - MESSAGE_LATE).exists())


def _forgotten(late: bool) -> str:
    return "late" if late else "ok"


def _gateway(beat_at: datetime | None, look_at: datetime | None, now: datetime) -> str:
    """Before anybody asked, it is not judged. Asked longer ago than a call takes, and never heard: it is silent."""
    if beat_at is None:
        asked = look_at is not None and now - look_at > _LONGEST_CALL
        return "silent" if asked else "unknown"
    return "ok" if worker.is_recent(beat_at, now, _GATEWAY_SILENT) else "silent"
