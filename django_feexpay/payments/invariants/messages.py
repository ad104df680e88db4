"""Invariants of the messages to the host: I10, I15 and I17."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, QuerySet, Value

from django_feexpay import conf
from django_feexpay.lifecycle import Status
from django_feexpay.models import (
    Credit,
    Incident,
    OutboxMessage,
    PaymentEvent,
)
from django_feexpay.models.purge import messages_kept_since
from django_feexpay.payments import incidents, outbox
from django_feexpay.payments.invariants.reading import columns_of, ids_of


def every_outcome_has_its_message() -> Iterator[str]:
    """I10: each outcome has its outbox message, delivered or scheduled, unless the purge deleted it."""
    since = messages_kept_since()
    silent = Credit.objects.filter(created_at__gt=since).exclude(Exists(_messages(OutboxMessage.Signal.SUCCEEDED)))
    for pk in ids_of(silent):
        yield f"credit {pk}: no message"
    doubted = PaymentEvent.objects.filter(to_status=Status.REVIEW, created_at__gt=since)
    doubted = doubted.exclude(Exists(_messages(OutboxMessage.Signal.NEEDS_REVIEW)))
    for pk in ids_of(doubted):
        yield f"event {pk}: a review, and no message"
    second = Incident.objects.filter(kind=Incident.Kind.DUPLICATE_CHARGE, opened_at__gt=since)
    for pk in ids_of(second.exclude(Exists(_messages(OutboxMessage.Signal.DUPLICATE_CHARGE)))):
        yield f"incident {pk}: no message"
    twice = OutboxMessage.objects.filter(signal=OutboxMessage.Signal.SUCCEEDED).values("payment_id")
    for row in twice.annotate(messages=Count("pk")).filter(messages__gt=1).order_by("payment_id"):
        yield f"payment {row['payment_id']}: its success has {row['messages']} messages"
    for pk in ids_of(OutboxMessage.objects.filter(delivered_at=None, next_delivery_at=None)):
        yield f"message {pk}: not delivered and not scheduled"


def _messages(signal: OutboxMessage.Signal) -> QuerySet[OutboxMessage]:
    """The messages with this signal of the payment that an outer row belongs to."""
    return OutboxMessage.objects.filter(payment_id=OuterRef("payment_id"), signal=signal)


def incident_is_announced_once() -> Iterator[str]:
    """I15: each incident has one signal, unless the purge deleted it; a reversed attempt has a credit."""
    since = messages_kept_since()
    for kind, signal in incidents.SIGNALS.items():
        opened = Incident.objects.filter(kind=kind, opened_at__gt=since).order_by().values("payment")
        told = OutboxMessage.objects.filter(signal=signal, created_at__gt=since).order_by().values("payment")
        counts: dict[UUID, Counter[str]] = defaultdict(Counter)
        for row in _counted(opened, "opened").union(_counted(told, "told"), all=True).order_by():
            counts[row["payment"]][row["side"]] = row["number"]
        for pk, sides in sorted(counts.items()):
            if sides["opened"] != sides["told"]:
                yield f"payment {pk}: {sides['opened']} incidents {kind}, announced {sides['told']} times"
    reversed_ = Incident.objects.filter(kind=Incident.Kind.REVERSED_AFTER_CREDIT)
    for pk in ids_of(reversed_.filter(attempt__credit=None)):
        yield f"incident {pk}: its attempt was never credited"


def _counted(groups: QuerySet[Any, Any], side: str) -> QuerySet[Any, Any]:
    counted: QuerySet[Any, Any] = groups.annotate(side=Value(side), number=Count("pk"))
    return counted


def message_is_delivered_or_scheduled() -> Iterator[str]:
    """I17: an undelivered message keeps its error and is tried again within an hour.

    The clock of the process that claimed it may be ahead of this one.
    """
    now = conf.now() + conf.CLOCK_SLACK
    waiting = OutboxMessage.objects.filter(delivered_at=None)
    late = waiting.filter(next_delivery_at__gt=now + outbox.LONGEST_WAIT)
    for pk, next_delivery_at in columns_of(late, "pk", "next_delivery_at"):
        yield f"message {pk}: not delivered, next delivery {next_delivery_at}"
    silent = waiting.filter(delivery_count__gt=0, last_error="", next_delivery_at__gt=now + outbox.LEASE)
    for pk, count in columns_of(silent, "pk", "delivery_count"):
        yield f"message {pk}: no error stored after {count} deliveries"
    for pk in ids_of(OutboxMessage.objects.filter(delivered_at__isnull=False, next_delivery_at__isnull=False)):
        yield f"message {pk}: delivered, and scheduled again"
