"""The kinds of data that the purge erases or deletes, and the rows of each that are due.

How long each kind is kept is a setting (`conf.RETENTION`). Never purged: payments, attempts, events, credits, refunds,
payouts, incidents and what staff did. After ten years their payers are erased from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import PublicStatus, Status, statuses_of
from django_feexpay.models import (
    LIVE_PAYOUTS,
    Comparison,
    Counter,
    Discrepancy,
    Heartbeat,
    IdempotencyRecord,
    OutboxMessage,
    Payment,
    PromptLift,
    Purge,
    WebhookDelivery,
)
from django_feexpay.models.heartbeat import KEPT
from django_feexpay.privacy import numbers
from django_feexpay.privacy.batches import deleted, everything

Rows = QuerySet[Any]

#: The shortest time that a setting may name. A client repeats a request for 72 hours, and a missed nightly comparison
#: is searched for within a month.
LEAST: Mapping[str, timedelta] = {
    "numbers": timedelta(hours=1),
    "delivery_bodies": timedelta(days=1),
    "deliveries": timedelta(days=1),
    "idempotency": timedelta(hours=72),
    "outbox": timedelta(days=7),
    "comparisons": timedelta(days=32),
    "heartbeats": timedelta(days=1),
    "prompt_lifts": timedelta(days=1),
    "purges": timedelta(days=32),
    "payers": timedelta(days=365),
}

_PENDING = list(statuses_of(PublicStatus.PENDING))
#: Counters expire by themselves, after an hour at most.
_COUNTERS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of rows, which rows of it are purged, and how.

    `old`: the rows whose time is over, ordered by one column. `unneeded`: keeps those of them to purge. `work`: purges
    a batch and returns how many rows.
    """

    name: str
    old: Callable[[datetime], Rows]
    unneeded: Callable[[Rows], Rows] = everything
    work: Callable[[Rows], int] = deleted

    def due(self, now: datetime) -> Rows:
        """The rows to purge now."""
        return self.unneeded(self.old(now))


def limit_of(kind: str, now: datetime) -> datetime:
    """The time before which rows of this kind are purged."""
    return now - feexpay.retention[kind]


# --- webhooks ------------------------------------------------------------------------------------------


def delivery_bodies(now: datetime) -> QuerySet[WebhookDelivery]:
    old = WebhookDelivery.objects.filter(received_at__lte=limit_of("delivery_bodies", now))
    return old.exclude(body={}).order_by("id")


def without_proof(rows: Rows) -> Rows:
    """Leave out deliveries of another reference, whose echo proves what they are about (invariant I8)."""
    for about in ("attempt", "payout"):
        reference = f"{about}__gateway_reference"
        unnamed = Q(**{reference: None}) | ~Q(**{reference: F("gateway_reference")})
        rows = rows.exclude(Q(**{f"{about}__isnull": False}) & unnamed)
    return rows


def deliveries(now: datetime) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(received_at__lte=limit_of("deliveries", now)).order_by("id")


def about_ended(rows: Rows) -> Rows:
    """The deliveries about nothing that we know, about attempts that are paid or failed, and about payouts that ended.

    A delivery about a refused or expired attempt stays: because of it, FeexPay is asked before a payer may try again.
    """
    ended = Q(attempt=None, payout=None) | Q(attempt__status__in=[Status.SUCCESSFUL, Status.FAILED])
    ended |= Q(payout__isnull=False) & ~Q(payout__state__in=sorted(LIVE_PAYOUTS))
    return rows.filter(ended)


# --- requests and signals --------------------------------------------------------------------------------


def idempotency(now: datetime) -> QuerySet[IdempotencyRecord]:
    return IdempotencyRecord.objects.filter(created_at__lte=limit_of("idempotency", now)).order_by("id")


def of_ended(rows: Rows) -> Rows:
    """Only the idempotency keys of payments that ended before the same limit."""
    ended = Payment.objects.filter(settled_at__lte=limit_of("idempotency", conf.now())).exclude(status__in=_PENDING)
    return _whose_payment(rows, ended)


def outbox(now: datetime) -> QuerySet[OutboxMessage]:
    """The delivered messages."""
    limit = limit_of("outbox", now)
    old = OutboxMessage.objects.filter(created_at__lte=limit, delivered_at__lte=limit, next_delivery_at=None)
    return old.order_by("id")


def of_paid(rows: Rows) -> Rows:
    """Only the messages of paid payments.

    The others stay, so that a late success is announced as one after a failure.
    """
    return _whose_payment(rows, Payment.objects.filter(status=Status.SUCCESSFUL))


def _whose_payment(rows: Rows, payments: QuerySet[Payment]) -> Rows:
    """A subquery and not a join, because SQLite would start such a join from all these payments, for each batch."""
    return rows.filter(Exists(payments.filter(pk=OuterRef("payment_id"))))


# --- comparisons -----------------------------------------------------------------------------------------


def discrepancies(now: datetime) -> QuerySet[Discrepancy]:
    """The discrepancies that ended and that no later comparison found again."""
    limit = limit_of("comparisons", now)
    old = Discrepancy.objects.exclude(state=Discrepancy.State.OPEN).filter(found_at__lte=limit)
    return old.exclude(ended_at__gt=limit).exclude(last_comparison__started_at__gt=limit).order_by("id")


def comparisons(now: datetime) -> QuerySet[Comparison]:
    """The comparisons that no discrepancy refers to.

    The newest nightly one stays, because the next nights follow from it.
    """
    old = Comparison.objects.filter(started_at__lte=limit_of("comparisons", now))
    kept = Discrepancy.objects.exclude(pk__in=discrepancies(now).order_by().values("pk"))
    for name in ("comparison", "last_comparison", "ended_by"):
        old = old.exclude(Exists(kept.filter(**{name: OuterRef("pk")})))
    newest = Comparison.objects.filter(night__isnull=False).order_by("-night").values("pk")[:1]
    return old.exclude(pk__in=newest).exclude(state=Comparison.State.RUNNING).order_by("id")


def _delete_discrepancies(rows: Rows) -> int:
    for row in rows:
        row.findings.all().delete()
    return deleted(rows)


# --- the rest --------------------------------------------------------------------------------------------


def heartbeats(now: datetime) -> QuerySet[Heartbeat]:
    stopped = Heartbeat.objects.exclude(name__in=KEPT)
    return stopped.filter(beat_at__lte=limit_of("heartbeats", now)).order_by("name")


def counters(now: datetime) -> Rows:
    return Counter.objects.filter(expires_at__lte=now - _COUNTERS).order_by("key")


def prompt_lifts(now: datetime) -> QuerySet[PromptLift]:
    return PromptLift.objects.filter(until__lte=limit_of("prompt_lifts", now)).order_by("id")


def purges(now: datetime) -> QuerySet[Purge]:
    """Old purges, except the one that tells since when messages are kept."""
    old = Purge.objects.filter(started_at__lte=limit_of("purges", now))
    newest = Purge.objects.filter(outbox_before__isnull=False).order_by("-outbox_before").values("pk")[:1]
    return old.exclude(pk__in=newest).order_by("id")


#: In this order: a discrepancy refers to comparisons.
KINDS = (
    Kind("numbers", numbers.with_number, numbers.unneeded, numbers.erase_number),
    Kind("payout_numbers", numbers.of_ended_payouts, work=numbers.erase_number),
    Kind("payer_details", numbers.with_details, work=numbers.erase_details),
    Kind("delivery_bodies", delivery_bodies, without_proof, lambda rows: rows.update(body={})),
    Kind("deliveries", deliveries, about_ended),
    Kind("idempotency", idempotency, of_ended),
    Kind("outbox", outbox, of_paid),
    Kind("discrepancies", discrepancies, work=_delete_discrepancies),
    Kind("comparisons", comparisons),
    Kind("heartbeats", heartbeats),
    Kind("counters", counters),
    Kind("prompt_lifts", prompt_lifts),
    Kind("purges", purges),
)
