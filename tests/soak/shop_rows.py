"""The shop's database in a soak: reads its rows and, at the end, sweeps with a clock ahead. Needs Django set up."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Max, Min, Q, QuerySet
from knox.models import AuthToken
from shop.models import CoinEntry

from django_feexpay import conf
from django_feexpay.background.worker import Worker
from django_feexpay.database_clock import DatabaseClock
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import (
    Attempt,
    Comparison,
    Credit,
    Discrepancy,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    WebhookDelivery,
)
from django_feexpay.payments import invariants, outbox
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation.run import begin, compare
from tests.soak import hung_receiver
from tests.soak.comparison import OurAttempt
from tests.soak.plan import CANARY

_SIGNALS_SECONDS = 15.0


def make_players(count: int) -> list[str]:
    """Create players, and return a bearer token of each."""
    users = [get_user_model().objects.create_user(f"player-{number}") for number in range(count)]
    return [AuthToken.objects.create(user=user)[1] for user in users]


def unfinished() -> Counter[str]:
    """What is left to do, by kind, without UNKNOWN attempts, which after their expiry are polled every few minutes
    only, and without signals whose receiver hangs.
    """
    left = Counter(Attempt.objects.filter(status__in=LIVE - {Status.UNKNOWN}).values_list("status", flat=True))
    hung = Q(last_error__startswith=outbox.ERROR_HANGS) | Q(payment__amount__in=hung_receiver.amounts())
    left["signals"] = OutboxMessage.objects.filter(delivered_at=None).exclude(hung).count()
    left["credits without coins"] = Credit.objects.exclude(payment__in=CoinEntry.objects.values("payment")).count()
    return +left


def sweep_with_clock_ahead(minutes: int) -> None:
    """Sweep until nothing is due, with a clock that is minutes ahead, instead of waiting.

    Call it only while no other worker runs: under that clock the leases of killed processes have ended.
    """
    clock, ahead = DatabaseClock(), timedelta(minutes=minutes)
    with conf.use_clock(lambda: clock() + ahead), Worker(name="soak") as worker:
        give_up_at = time.monotonic() + _SIGNALS_SECONDS
        # A signal whose receiver is busy is retried after a second.
        while worker.sweep() or (_signals_wait() and time.monotonic() < give_up_at):
            continue


def _signals_wait() -> bool:
    return OutboxMessage.objects.filter(delivered_at=None).exists()


def violations(minutes: int) -> list[invariants.Violation]:
    """The invariants that the rows break, under the clock of the last sweep."""
    clock, ahead = DatabaseClock(), timedelta(minutes=minutes)
    with conf.use_clock(lambda: clock() + ahead):
        return list(invariants.violations())


def compare_with_history(minutes: int) -> Comparison:
    """Compare the days on which attempts were sent with history, under a clock past the end of those days."""
    clock, ahead = DatabaseClock(), timedelta(minutes=minutes)
    with conf.use_clock(lambda: clock() + ahead):
        sent = Attempt.objects.aggregate(first=Min("sent_at"), last=Max("sent_at"))
        days = [sent[name].astimezone(UTC).date() for name in ("first", "last")]
        return compare(begin(*days), source=Source.COMMAND)


def attempts() -> dict[str, OurAttempt]:
    """The shop's attempts, by id."""
    because = dict(PaymentEvent.objects.order_by("id").values_list("attempt_id", "because"))
    credited = dict(Credit.objects.values_list("attempt_id", "amount"))
    duplicates = _named_by(Incident.objects.filter(kind=Incident.Kind.DUPLICATE_CHARGE))
    reversals = _named_by(Incident.objects.filter(kind=Incident.Kind.REVERSED_AFTER_CREDIT))
    open_discrepancies = _named_by(Discrepancy.objects.at_stake().filter(attempt__isnull=False))
    return {
        str(attempt.pk): OurAttempt(
            payment=str(attempt.payment_id),
            status=attempt.status,
            because=because[attempt.pk],
            amount=attempt.amount,
            credited=credited.get(attempt.pk),
            reference=(attempt.gateway_reference or "").lower(),
            duplicates=duplicates[attempt.pk],
            reversals=reversals[attempt.pk],
            open_discrepancies=open_discrepancies[attempt.pk],
        )
        for attempt in Attempt.objects.all()
    }


def _named_by(rows: QuerySet[Incident] | QuerySet[Discrepancy]) -> dict[UUID, frozenset[str]]:
    """The references in `rows`, by attempt."""
    found: dict[UUID, frozenset[str]] = defaultdict(frozenset)
    for pk, reference in rows.values_list("attempt_id", "gateway_reference"):
        found[pk] |= {reference.lower()}
    return found


def coins() -> dict[str, list[int]]:
    """The coins given, by payment id."""
    given: dict[str, list[int]] = defaultdict(list)
    for payment, count in CoinEntry.objects.values_list("payment_id", "coins"):
        given[str(payment)].append(count)
    return given


def lost_answers() -> Counter[str]:
    """Requests whose outcome was unknown, by reason."""
    return Counter(PaymentEvent.objects.filter(to_status="unknown").values_list("because", flat=True))


def discrepancy_counts() -> Counter[str]:
    """The discrepancies of the comparison, by kind, state and outcome."""
    rows = Discrepancy.objects.values_list("kind", "state", "outcome")
    return Counter(f"{kind} {state} {outcome}".strip() for kind, state, outcome in rows)


def undelivered_signals() -> Iterator[str]:
    for pk, signal in OutboxMessage.objects.filter(delivered_at=None).values_list("pk", "signal"):
        yield f"message {pk}: {signal} was never delivered"


def deliveries() -> set[tuple[str, str]]:
    """(reference, status) of every stored webhook."""
    return set(WebhookDelivery.objects.values_list("gateway_reference", "reported_status"))


def outcomes() -> Counter[tuple[int, str]]:
    """The payments by amount and status."""
    return Counter(Payment.objects.values_list("amount", "status"))


def payments_of(keys: list[str]) -> dict[str, set[str]]:
    """The payments that each idempotency key started."""
    found: dict[str, set[str]] = defaultdict(set)
    for key, pk in Payment.objects.filter(idempotency_key__in=keys).values_list("idempotency_key", "pk"):
        found[key].add(str(pk))
    return found


def credited_at() -> dict[str, datetime]:
    """When each credited attempt was credited."""
    return {str(pk): at for pk, at in Credit.objects.values_list("attempt_id", "created_at")}


def tally() -> dict[str, int]:
    """Counts for the report."""
    return {
        "payments": Payment.objects.count(),
        "attempts": Attempt.objects.count(),
        "credited": Credit.objects.count(),
        "late successes": PaymentEvent.objects.filter(
            Q(from_status="expired") | Q(from_status="failed"), to_status="successful"
        ).count(),
        "unknown outcomes": PaymentEvent.objects.filter(to_status="unknown").count(),
        "senders died": PaymentEvent.objects.filter(because="sender_died").count(),
        "found in history": PaymentEvent.objects.filter(because="found_in_history").count(),
        "put back, nothing was sent": PaymentEvent.objects.filter(from_status="sending", to_status="created").count(),
        "charged twice": Incident.objects.filter(kind=Incident.Kind.DUPLICATE_CHARGE).count(),
        "reversed after the credit": Incident.objects.filter(kind=Incident.Kind.REVERSED_AFTER_CREDIT).count(),
        "discrepancies left open": Discrepancy.objects.still_open().count(),
        "signals delivered more than once": OutboxMessage.objects.filter(delivery_count__gt=1).count(),
    }


def leaks() -> Iterator[str]:
    """Tables that hold a payer's number in plain text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            name = connection.ops.quote_name(table)
            cursor.execute(f"SELECT count(*) FROM {name} WHERE {name}::text ~ %s", [CANARY])
            row: tuple[Any, ...] = cursor.fetchone()
            if row[0]:
                yield f"table {table}: {row[0]} rows hold a payer's number"
