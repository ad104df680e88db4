"""The rows of many payments, collected and then written in bulk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from django_feexpay.models import (
    Attempt,
    Credit,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    Refund,
    StaffAction,
    StaffChain,
    WebhookDelivery,
)
from django_feexpay.payments.audit import chain
from shop.models import CoinEntry

_BATCH = 2000


@dataclass(slots=True)
class Rows:
    """Unsaved rows. A row may refer to another unsaved one."""

    payments: list[Payment] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    events: list[PaymentEvent] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    messages: list[OutboxMessage] = field(default_factory=list)
    deliveries: list[WebhookDelivery] = field(default_factory=list)
    idempotency: list[IdempotencyRecord] = field(default_factory=list)
    coins: list[CoinEntry] = field(default_factory=list)
    #: Fields of a StaffAction, and the row that it is about, which has a primary key once it is written.
    staff_actions: list[tuple[Mapping[str, Any], Any]] = field(default_factory=list)

    def write(self) -> None:
        """Write all rows and forget them.

        Changes: the tables of these rows. Must run inside the caller's transaction. Safe to repeat: no.
        """
        self.events.sort(key=lambda event: event.created_at)  # as if each was written when it happened
        self.messages.sort(key=lambda message: message.created_at)
        self._chain()
        for rows in (self.payments, self.attempts, self.events, self.credits, self.incidents, self.refunds):
            _insert(rows)
        for more in (self.messages, self.deliveries, self.idempotency, self.coins):
            _insert(more)
        self._insert_staff_actions()
        if connection.vendor == "postgresql":
            connection.check_constraints()  # now, so that the deferred checks of a million payments do not pile up

    def _chain(self) -> None:
        """As the ledger does for each event and credit."""
        for event in self.events:
            chain.add_event(event.payment, event)
        for credit in self.credits:
            chain.bind(credit, credit.event)

    def _insert_staff_actions(self) -> None:
        actions = [_staff_action(fields, target) for fields, target in self.staff_actions]
        self.staff_actions.clear()
        ends: dict[str, StaffChain] = {}
        for action in actions:
            end = ends.get(action.actor) or ends.setdefault(action.actor, chain.lock_actions(action.actor))
            chain.add_action(end, action)
        _insert(actions)
        for end in ends.values():
            end.save()


def _insert(rows: list[Any]) -> None:
    if rows:
        type(rows[0]).objects.bulk_create(rows, batch_size=_BATCH)
    rows.clear()


def _staff_action(fields: Mapping[str, Any], target: Any) -> StaffAction:
    if target is None:
        return StaffAction(**fields)
    payment_id = target.pk if isinstance(target, Payment) else getattr(target, "payment_id", None)
    return StaffAction(**fields, payment_id=payment_id, target=f"{target._meta.model_name}:{target.pk}")
