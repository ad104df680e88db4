"""What the health facts are measured by: our tables, and counts in the cache. Nothing here calls FeexPay."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property

from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, Max, Min, Q

from django_feexpay import cache_state, conf
from django_feexpay.background import worker
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt, Comparison, Discrepancy, Heartbeat, Incident, OutboxMessage, Payment, Purge
from django_feexpay.monitoring import http_counts, secrets_in_use, uptime
from django_feexpay.monitoring.backups import Work
from django_feexpay.monitoring.provider_health import ENDED
from django_feexpay.payments import webhook_drops
from django_feexpay.payments.admission import circuit_breaker, rate_budget
from django_feexpay.payments.outbox import ERROR_HANGS
from django_feexpay.privacy import erasure, numbers

#: The values of one fact by subject; "" for the whole shop.
Values = Mapping[str, float]

NEVER = float("inf")
_NONE: Values = {}
_LONGEST_CALL = timedelta(seconds=30)
_NUMBER_LATE = timedelta(hours=1)
_LEAST_PAYMENTS, _LEAST_WEBHOOKS, _LEAST_ANSWERS, _LEAST_ANSWERS_FOR_ERRORS = 10, 20, 20, 50


class Measurements:
    """What is true at one instant. Each part is read when a fact first needs it, and once. Raises: DatabaseError."""

    def __init__(self, now: datetime, beats: Mapping[str, datetime] | None = None) -> None:
        self.now = now
        self._given_beats = beats

    # --- the machinery -------------------------------------------------------------------------------

    def answered(self) -> Values:
        """0, because reading any heartbeat proves that the database answers."""
        return {"": 0.0 * len(self.beats)}

    @cached_property
    def beats(self) -> Mapping[str, datetime]:
        if self._given_beats is not None:
            return self._given_beats
        return dict(Heartbeat.objects.values_list("name", "beat_at"))

    def migrations_pending(self) -> Values:
        return {"": float(len(pending_migrations()))}

    def cache_silent(self) -> Values:
        return {"": 0.0 if cache_state.attempt(_write_to_cache, False) else 1.0}

    def worker_silence(self) -> Values:
        """The seconds since the last heartbeat. One from the future, written by a wrong clock, does not count."""
        beats = (self.beats[name] for name in (worker.WORKER, worker.CLUSTER) if name in self.beats)
        return {"": min((self._age(beat) for beat in beats), default=NEVER)}

    def poll_delay(self) -> Values:
        first = Attempt.objects.filter(next_poll_at__lt=self.now).aggregate(first=Min("next_poll_at"))["first"]
        return {"": 0.0 if first is None else (self.now - first).total_seconds()}

    def polls_due(self) -> int:
        """The attempts that are due for a poll or a send."""
        return Attempt.objects.filter(next_poll_at__lte=self.now).count()

    @cached_property
    def _outbox(self) -> dict[str, object]:
        waiting = OutboxMessage.objects.filter(next_delivery_at__isnull=False).order_by()
        hangs = Q(last_error__startswith=ERROR_HANGS)
        return waiting.aggregate(first=Min("created_at"), hanging=Count("pk", filter=hangs), count=Count("pk"))

    def signals_hanging(self) -> Values:
        return {"": float(str(self._outbox["hanging"]))}

    def signal_delay(self) -> Values:
        first = self._outbox["first"]
        return {"": (self.now - first).total_seconds() if isinstance(first, datetime) else 0.0}

    def signals_waiting(self) -> int:
        return int(str(self._outbox["count"]))

    def open_circuits(self) -> Values:
        """How many seconds each circuit has been open; at least one, for a circuit that opened this instant."""
        since = circuit_breaker.open_since(CATALOGUE)
        return {circuit: max(1.0, (self.now - at).total_seconds()) for circuit, at in since.items()}

    def gateway_pause(self) -> Values:
        return {"": float(rate_budget.pause_seconds())}

    def gateway_silence(self) -> Values | None:
        """None before the first probe; NEVER if the first probe got no answer in the time that a call may take."""
        answered_at, probed_at = self.beats.get(worker.GATEWAY), self.beats.get(worker.GATEWAY_PROBE)
        if answered_at is not None:
            return {"": self._age(answered_at)}
        unanswered = probed_at is not None and self.now - probed_at > _LONGEST_CALL
        return {"": NEVER} if unanswered else None

    def secrets_not_read(self) -> Values:
        return self._secrets("not_read")

    def keys_ended(self) -> Values:
        return self._secrets("ended")

    def keys_end_soon(self) -> Values:
        return self._secrets("ends_soon")

    def _secrets(self, word: str) -> Values:
        return {"": float(self._secrets_problem == word)}

    @cached_property
    def _secrets_problem(self) -> str:
        return secrets_in_use.problem(self.now)

    def uptime(self) -> Values:
        share = uptime.percent(self.now)
        return _NONE if share is None else {"": share}

    # --- the nightly jobs ----------------------------------------------------------------------------

    def comparison_age(self) -> Values:
        nights = Comparison.objects.exclude(night=None).exclude(finished_at__gt=self.now + conf.CLOCK_SLACK)
        last = nights.aggregate(last=Max("finished_at"))["last"]
        return _NONE if feexpay.compare_at is None else self._since(last)

    def purge_age(self) -> Values:
        last = Purge.objects.exclude(night=None).aggregate(last=Max("finished_at"))["last"]
        return _NONE if feexpay.purge_at is None else self._since(last)

    def erasure_wait(self) -> Values:
        return self._since(erasure.waiting().aggregate(first=Min("asked_at"))["first"])

    def numbers_kept(self) -> Values:
        return {"": float(numbers.unneeded(numbers.with_number(self.now - _NUMBER_LATE)).exists())}

    # --- backups, from the first note on ---------------------------------------------------------------

    def backups_failed(self) -> Values:
        """1 for each work whose last failure is newer than its last success."""
        never = datetime.min.replace(tzinfo=UTC)
        return {
            str(work): float(self.beats.get(work.failed, never) > self.beats.get(work, never))
            for work in Work
            if work in self.beats or work.failed in self.beats
        }

    def backup_age(self) -> Values:
        return {"": self._age(self.beats[Work.BACKUP])} if Work.BACKUP in self.beats else _NONE

    def restore_test_age(self) -> Values:
        """NEVER if there are backups and none was ever restored."""
        if Work.RESTORE_TEST in self.beats:
            return {"": self._age(self.beats[Work.RESTORE_TEST])}
        return {"": NEVER} if Work.BACKUP in self.beats else _NONE

    # --- money that waits for a person ---------------------------------------------------------------

    def differences(self) -> Values:
        return {"": float(Discrepancy.objects.at_stake().count())}

    def duplicate_charges(self) -> Values:
        return {"": float(self._incidents.get(Incident.Kind.DUPLICATE_CHARGE, 0))}

    def reversals(self) -> Values:
        return {"": float(self._incidents.get(Incident.Kind.REVERSED_AFTER_CREDIT, 0))}

    def undone_payouts(self) -> Values:
        return {"": float(self._incidents.get(Incident.Kind.PAYOUT_UNDONE, 0))}

    @cached_property
    def _incidents(self) -> Mapping[str, int]:
        rows = Incident.objects.filter(closed_at__isnull=True).order_by().values_list("kind")
        return dict(rows.annotate(count=Count("pk")))

    def oldest_review(self) -> Values:
        rows = Payment.objects.filter(status=Status.REVIEW)
        return self._since(rows.aggregate(first=Min("updated_at"))["first"])

    def oldest_pending(self) -> Values:
        rows = Payment.objects.filter(status__in=sorted(LIVE))
        return self._since(rows.aggregate(first=Min("created_at"))["first"])

    # --- rates of the window -------------------------------------------------------------------------

    @cached_property
    def outcomes(self) -> Mapping[tuple[str, str], int]:
        """The payments that were started in the window, by provider and status."""
        rows = Payment.objects.filter(created_at__gte=self.now - feexpay.monitor_window).order_by()
        counted = rows.values_list("provider", "status").annotate(count=Count("pk"))
        return {(provider, status): count for provider, status, count in counted}

    def success_rates(self) -> Values:
        found = {}
        for provider in {code for code, _status in self.outcomes}:
            ended = self._count(provider, ENDED)
            if ended >= _LEAST_PAYMENTS:
                found[provider] = 100 * self._count(provider, [Status.SUCCESSFUL]) / ended
        return found

    def _count(self, provider: str, statuses: Collection[str]) -> int:
        return sum(self.outcomes.get((provider, status), 0) for status in statuses)

    @cached_property
    def _http(self) -> Mapping[str, int]:
        return http_counts.read(self.now, feexpay.monitor_window)

    def webhooks_rejected(self) -> Values:
        return {"": float(self._http[http_counts.WEBHOOKS_REJECTED])}

    def webhook_acceptance(self) -> Values:
        """A dropped webhook is answered with 200, but it was not accepted."""
        count = self._http[http_counts.WEBHOOKS]
        bad = self._http[http_counts.WEBHOOKS_REFUSED] + self.drops.hour
        return {"": 100 * max(0, count - bad) / count} if count >= _LEAST_WEBHOOKS else _NONE

    def slow_answers(self) -> Values:
        return self._share(http_counts.SLOW, least=_LEAST_ANSWERS)

    def server_errors(self) -> Values:
        return self._share(http_counts.ERRORS, least=_LEAST_ANSWERS_FOR_ERRORS)

    def _share(self, part: str, *, least: int) -> Values:
        count = self._http[http_counts.ANSWERS]
        return {"": 100 * self._http[part] / count} if count >= least else _NONE

    @cached_property
    def drops(self) -> webhook_drops.Drops:
        return webhook_drops.read(self.now)

    def webhooks_dropped(self) -> Values:
        return {"": float(self.drops.lately)}

    # -------------------------------------------------------------------------------------------------

    def _age(self, at: datetime) -> float:
        age = self.now - at
        return NEVER if age < -conf.CLOCK_SLACK else max(0.0, age.total_seconds())

    def _since(self, at: datetime | None) -> Values:
        """The seconds since an instant, for the whole shop; empty without an instant."""
        return _NONE if at is None else {"": max(0.0, (self.now - at).total_seconds())}


_none_pending = False


def pending_migrations() -> list[str]:
    """The migrations of django_feexpay that the database lacks. Once none is missing, this process no longer asks."""
    global _none_pending
    if _none_pending:
        return []
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes("feexpay"))
    _none_pending = not plan
    return [f"{step.app_label}.{step.name}" for step, _backwards in plan]


def _write_to_cache() -> bool:
    cache.set("feexpay:health", 1, 60)
    return True
