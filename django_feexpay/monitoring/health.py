"""Health of the payments, read from our tables only, so that it never waits for a slow gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db import DatabaseError, connection

from django_feexpay import conf
from django_feexpay.monitoring.facts import FACTS, Fact, Trouble, troubles
from django_feexpay.monitoring.measurements import Measurements, Values, pending_migrations


class Health(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Report:
    """`status`, and by component `ok`, `unknown` or the problem; for `breaker`, the open circuits.

    dropped_webhooks: in the last hour, because there were too many of them. `circuits`: the open ones.
    troubles: the facts behind the problems.
    """

    status: Health
    components: dict[str, str]
    dropped_webhooks: int = 0
    circuits: Sequence[str] = ()
    troubles: Sequence[Trouble] = ()


#: The facts that the report shows.
_REPORTED = [fact for fact in FACTS if fact.component]


def check() -> Report:
    """Measure the facts of the report. DOWN: the database is unreachable."""
    try:
        measurements = Measurements(conf.now())
        values = {fact.name: fact.measure(measurements) for fact in _REPORTED}
        drops = measurements.drops.hour
    except DatabaseError:
        connection.close()
        return Report(Health.DOWN, {"database": "unreachable"})
    found = troubles(values)
    components = {component: _word(facts, values) for component, facts in _by_component().items()}
    circuits = sorted(trouble.subject for trouble in found if trouble.fact.component == "breaker")
    return Report(Health.DEGRADED if found else Health.OK, components, drops, circuits, found)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this process can serve payers. `checks`: by name `ok` or the problem."""

    is_ready: bool
    checks: dict[str, str]


def readiness() -> Readiness:
    """Whether the database answers and has all migrations. A missing worker is no reason to send payers elsewhere."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        pending = pending_migrations()
    except DatabaseError:
        connection.close()
        return Readiness(False, {"database": "unreachable"})
    return Readiness(not pending, {"database": "ok", "migrations": "pending" if pending else "ok"})


def _by_component() -> Mapping[str, list[Fact]]:
    found: dict[str, list[Fact]] = {}
    for fact in _REPORTED:
        found.setdefault(fact.component, []).append(fact)
    return found


def _word(facts: Sequence[Fact], values: Mapping[str, Values | None]) -> str:
    """The word of the first fact in trouble, else `unknown` if one is not known yet, else `ok`."""
    for fact in facts:
        beyond = sorted(subject for subject, value in (values[fact.name] or {}).items() if fact.is_trouble(value))
        if beyond:
            return fact.word or ", ".join(beyond)
    return "unknown" if any(values[fact.name] is None for fact in facts) else "ok"
