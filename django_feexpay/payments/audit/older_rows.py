"""Chain the rows that a release without chains wrote.

A hash made afterwards proves only that the row was not changed since. So each such row says when it was chained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from django_feexpay import conf
from django_feexpay.models import Credit, Payment, PaymentEvent, StaffAction
from django_feexpay.models.primary import write_columns
from django_feexpay.payments.audit import chain
from django_feexpay.payments.audit.keys import signing_key
from django_feexpay.payments.durability import durable

#: Payments, or staff actions, in one transaction: a payment waits for at most this many.
BATCH = 100
#: The name of the chain of staff actions that an earlier release wrote.
OLDER_ACTIONS = ""

_CHAIN = ("position", "key_id", "hash", "chained_later_at")


@dataclass(slots=True)
class Chained:
    """How many rows were chained."""

    payments: int = 0
    events: int = 0
    actions: int = 0

    def __bool__(self) -> bool:
        return bool(self.payments or self.actions)


def actions_of(actor: str) -> QuerySet[StaffAction]:
    """The rows of one chain of staff actions: an actor's, or OLDER_ACTIONS."""
    if actor == OLDER_ACTIONS:
        return StaffAction.objects.filter(chained_later_at__isnull=False)
    return StaffAction.objects.filter(chained_later_at=None, actor=actor)


def name_of_actions(actor: str) -> str:
    """How messages name a chain of staff actions."""
    return f"staff {actor or '(older rows)'}"


def begin_chain(payment: Payment) -> None:
    """Chain the events of a payment that has none chained, and its credit. The caller holds the payment's lock.

    Changes: PaymentEvent, Credit, and the attributes of `payment`, which the caller saves.
    """
    _begin_chains([payment])


def exist() -> bool:
    """Whether a payment or a staff action is in no chain. If all are chained, this reads whole tables."""
    return Payment.objects.filter(event_count=0).exists() or StaffAction.objects.filter(hash="").exists()


def chain_older_rows() -> Iterator[Chained]:
    """Chain all older rows in small transactions; yields how many are done after each.

    Changes: PaymentEvent, Credit, Payment, StaffAction, StaffChain. Raises: as `durable`.
    Safe to repeat: yes, also concurrently; a run that was stopped continues where it stopped.
    """
    done = Chained()
    last: UUID | None = None
    while payments := _chain_payments(last, done):
        last = payments
        yield done
    while _chain_actions(done):
        yield done


@durable()
def _chain_payments(after: UUID | None, done: Chained) -> UUID | None:
    """Chain the next payments, by primary key. Returns the last one's key, or None if none was left.

    Everything that locks several payments locks them in this order, so no two can deadlock.
    """
    unchained = Payment.objects.filter(event_count=0)
    if after is not None:
        unchained = unchained.filter(pk__gt=after)
    payments = list(unchained.select_for_update(of=("self",)).order_by("pk")[:BATCH])
    if not payments:
        return None
    done.events += _begin_chains(payments)
    done.payments += len(payments)
    write_columns(
        Payment, ("event_count", "chain_hash"), [(row.event_count, row.chain_hash, row.pk) for row in payments]
    )
    return payments[-1].pk


def _begin_chains(payments: Sequence[Payment]) -> int:
    """Chain the events and credits of these payments, which the caller has locked; return how many events."""
    now, key = conf.now(), signing_key()
    by_pk = {payment.pk: payment for payment in payments}
    events = list(PaymentEvent.objects.filter(payment__in=by_pk, hash="").order_by("id"))
    for event in events:
        chain.add_event(by_pk[event.payment_id], event, chained_later_at=now)
    write_columns(PaymentEvent, _CHAIN, [(row.position, row.key_id, row.hash, now, row.pk) for row in events])
    credited = {event.pk: event for event in events}
    credits = [row for row in Credit.objects.filter(payment__in=by_pk, hash="") if row.event_id in credited]
    write_columns(
        Credit, ("hash",), [(chain.credit_hash(key, row, credited[row.event_id].hash), row.pk) for row in credits]
    )
    return len(events)


@durable()
def _chain_actions(done: Chained) -> int:
    """Chain the next older staff actions, all in one chain, in the order in which they were written; how many."""
    chain_of_all = chain.lock_actions(OLDER_ACTIONS)
    now = conf.now()
    actions = list(StaffAction.objects.filter(hash="").order_by("id")[:BATCH])
    for action in actions:
        chain.add_action(chain_of_all, action, chained_later_at=now)
    write_columns(StaffAction, _CHAIN, [(row.position, row.key_id, row.hash, now, row.pk) for row in actions])
    if actions:
        chain_of_all.save()
    done.actions += len(actions)
    return len(actions)
