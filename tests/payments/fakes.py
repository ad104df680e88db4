"""Fakes for all payment tests: a clock, one round of the worker, a transport that forbids calls in a transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.dispatch import Signal
from django.utils import timezone

from django_feexpay import conf
from django_feexpay.background import worker
from django_feexpay.gateway.transport import Transport, WireReply, WireRequest
from django_feexpay.lifecycle import PublicStatus
from django_feexpay.models import Attempt, Payment, PaymentEvent
from django_feexpay.payments import incidents, leases, outbox

#: More attempts than any test has due at once.
BATCH = 500

_HOUR = timedelta(hours=1)


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.at = timezone.now()

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def advance_to(self, instant: datetime) -> None:
        self.at = max(self.at, instant)


class KilledError(BaseException):
    """Ends the code under test as a kill does: its `except Exception` does not run."""


class CallInTransactionError(AssertionError):
    """A call to the gateway was made while a transaction was open."""


class Guard:
    """A transport that forbids calls while a transaction is open.

    `offences` keeps them even if the error is caught, as the worker does.
    """

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.offences: list[str] = []

    def exchange(self, request: WireRequest) -> WireReply:
        if in_transaction():
            self.offences.append(f"{request.method} {request.url}")
            raise CallInTransactionError(self.offences[-1])
        return self.inner.exchange(request)


def in_transaction() -> bool:
    """Whether the code under test has a transaction open; the one around a Django TestCase does not count."""
    return any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


class Recorder:
    """Records every signal in `received`, in order, as (name, payment id, event id)."""

    def __init__(self) -> None:
        self.received: list[tuple[str, UUID, UUID]] = []

    def listen(self, name: str, signal: Signal) -> Any:
        def receiver(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
            self.received.append((name, payment.pk, event_id))

        signal.connect(receiver, weak=False, dispatch_uid=f"recorder-{name}")
        return receiver

    def names(self, payment: Payment | None = None) -> list[str]:
        return [name for name, pk, _ in self.received if payment is None or pk == payment.pk]


def sweep() -> int:
    """Run one round of the worker in this thread; return how many attempts were due."""
    claims = leases.claim_due(BATCH, unsent=True) + leases.claim_due(BATCH, unsent=False)
    for held in claims:
        worker.advance(held)
    outbox.deliver()
    return len(claims)


def next_due_at() -> datetime | None:
    return (
        Attempt.objects.filter(next_poll_at__isnull=False)
        .order_by("next_poll_at")
        .values_list("next_poll_at", flat=True)
        .first()
    )


def sweep_until_final(payment: Payment, clock: Clock, *, rounds: int = 40) -> Payment:
    """Sweep at each due time until the payment's public status is final, then deliver its signals."""
    for _ in range(rounds):
        payment.refresh_from_db()
        if payment.public_status is not PublicStatus.PENDING:
            outbox.deliver()
            return payment
        instant = next_due_at()
        assert instant is not None, f"{payment.status}: no poll is planned"
        clock.advance_to(instant)
        sweep()
    raise AssertionError(f"{payment.status} after {rounds} rounds")


def sweep_at_next_poll(clock: Clock) -> None:
    """Move the clock to the next due time and sweep."""
    instant = next_due_at()
    assert instant is not None, "no poll is planned"
    clock.advance_to(instant)
    sweep()


def search_until_closed(clock: Clock, payment: Payment, *, every_poll: bool = False) -> Payment:
    """Poll as planned. Unless `every_poll`, no worker runs in the hours 2 to 23."""
    for _ in range(300):
        payment.refresh_from_db()
        if payment.status != "unknown":
            return payment
        if not every_poll and _HOUR < clock.at - payment.created_at < 23 * _HOUR:
            clock.advance_to(payment.created_at + 23 * _HOUR)
        sweep_at_next_poll(clock)
    raise AssertionError("it is searched for ever")


def only_attempt(payment: Payment) -> Attempt:
    return Attempt.objects.get(payment=payment)


def close_incident(incident_id: int, note: str) -> bool:
    """Close an incident for a reason that needs no refund."""
    source = PaymentEvent.Source.ADMIN
    return incidents.close(incident_id, note, resolution="no_money_lost", actor="1", source=source)


def moves(payment: Payment) -> list[str]:
    """The statuses of its events, in order."""
    return list(payment.events.order_by("id").values_list("to_status", flat=True))


def now() -> datetime:
    return conf.now()
