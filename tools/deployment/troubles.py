"""Bring about every trouble of the registry of health facts that rows and counts show, and end it again.

tools.deployment.watch sends this file to `shop-manage shell` of the installed shop, with one call at its end. It writes
what the shop itself would have written: old rows, counts, heartbeats. Outages are not here: they are real.
"""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta

from django.core.cache import cache
from django.db import connection

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import NotSentError
from django_feexpay.models import (
    Attempt,
    Comparison,
    Counter,
    Discrepancy,
    Erasure,
    Heartbeat,
    Incident,
    OutboxMessage,
    Payment,
    Purge,
)
from django_feexpay.monitoring import alerts, facts, http_counts, uptime
from django_feexpay.monitoring.measurements import Measurements
from django_feexpay.payments import webhook_drops
from django_feexpay.payments.admission import circuit_breaker, rate_budget
from django_feexpay.payments.outbox import ERROR_HANGS

_MARK = "made by tools.deployment.troubles"


def say(**found: object) -> None:
    """One line for the caller."""
    print(json.dumps(found))


def words() -> None:
    say(words={fact.name: str(fact.words) for fact in facts.FACTS})


def look() -> None:
    """What a worker does once a minute."""
    now = conf.now()
    found = sorted({trouble.fact.name for trouble in facts.troubles(facts.measured_now(Measurements(now)))})
    alerts.update(now)
    say(troubles=found, told=alerts.send(now))


def provoke(pending: str, failed: str) -> None:
    """`pending`, `failed`: payments in these states. The worker does not run."""
    now = conf.now()
    ago = {hours: now - timedelta(hours=hours) for hours in (1, 3, 25, 27, 30, 80, 200, 26 * 24)}
    for name, at in {"worker": ago[1], "gateway": ago[1], "backup": ago[30], "restore_test": ago[200]}.items():
        Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": at})
    Heartbeat.objects.filter(name="cluster").delete()
    Heartbeat.objects.update_or_create(name="backup_failed", defaults={"beat_at": now})

    Payment.objects.filter(pk=pending).update(created_at=ago[3])
    Attempt.objects.filter(payment=pending).update(next_poll_at=ago[1])
    Payment.objects.filter(pk=failed).update(status="review", updated_at=ago[25])
    paid = Attempt.objects.filter(credit__isnull=False).order_by("created_at")[0]
    Attempt.objects.filter(pk=paid.pk).update(settled_at=ago[27])
    message = OutboxMessage.objects.order_by("id")[0]
    changes = {"next_delivery_at": ago[1], "delivered_at": None, "created_at": ago[1]}
    OutboxMessage.objects.filter(pk=message.pk).update(last_error=f"{ERROR_HANGS}: {_MARK}", **changes)
    for kind in Incident.Kind:
        Incident.objects.create(kind=kind, payment=paid.payment, attempt=paid, opened_at=now, note=_MARK)

    night = now.date() - timedelta(days=4)
    times = {"started_at": ago[80], "beat_at": ago[80], "finished_at": ago[80]}
    days = {"first_day": night, "last_day": night, "night": night}
    Comparison.objects.exclude(night=None).delete()
    comparison = Comparison.objects.create(state="complete", **days, **times)
    Discrepancy.objects.create(
        kind="missing_here",
        identity=_MARK,
        money_at_stake=True,
        comparison=comparison,
        last_comparison=comparison,
        found_at=now,
    )
    Purge.objects.exclude(night=None).delete()
    Purge.objects.create(state="complete", night=night, **times)
    Erasure.objects.create(user_key="0", actor=_MARK, asked_at=ago[26 * 24], waiting_count=1)

    uptime.note_report(now, ago[1])
    webhook_drops.note(3)
    for _ in range(60):
        http_counts.note("status", 500, 2.5)
    error = NotSentError("no connection")
    for _ in range(circuit_breaker.FAILURES_IN_A_ROW):
        circuit_breaker.record(CallSeen("collect", error.code, 0.1, "moov_bj", 503, error))
    rate_budget.record(CallSeen("status", error.code, 0.1, "moov_bj", 429, error))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET app = 'feexpay away' WHERE app = 'feexpay' AND name LIKE '0030%'")
    look()


def key_file_is_lost(path: str) -> None:
    """The source of secrets stops answering after the process has read it."""
    list(feexpay.api_keys)
    os.unlink(path)
    time.sleep(2)  # FEEXPAY_SECRETS_TTL_SECONDS is 1
    list(feexpay.api_keys)
    look()


def cure(pending: str, failed: str) -> None:
    """What the team would do, in a few rows."""
    now = conf.now()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET app = 'feexpay' WHERE app = 'feexpay away'")
    cache.clear()
    for prefix in ("feexpay:uptime:down:", "feexpay:webhooks:dropped:"):
        Counter.objects.filter(key__startswith=prefix).delete()
    for name in ("backup", "restore_test"):
        Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": now})
    Payment.objects.filter(pk=pending).update(created_at=now)
    Payment.objects.filter(pk=failed).update(status="failed", updated_at=now)
    Attempt.objects.filter(settled_at__lt=now - timedelta(hours=24)).update(settled_at=now)
    Incident.objects.filter(note=_MARK).delete()
    Discrepancy.objects.filter(identity=_MARK).delete()
    Comparison.objects.filter(discrepancies_found=None).update(finished_at=now)
    Purge.objects.exclude(night=None).update(finished_at=now)
    Erasure.objects.filter(actor=_MARK).delete()
    # Few payments succeed in the window: the failed ones are made older than it.
    Payment.objects.exclude(status__in=["successful", "pending"]).update(created_at=now - timedelta(hours=2))
    say(cured=True)
