"""Committed events reach the host's receivers at least once, whatever the receivers do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from django_feexpay import signals as host_signals
from django_feexpay.models import OutboxMessage, Payment
from django_feexpay.payments import ledger, outbox
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.lifecycle import Status
from tests.payments.conftest import Begin
from tests.payments.model_gateway import ModelGateway
from tests.payments.stage import Clock, Recorder, only_attempt

pytestmark = pytest.mark.django_db


class KilledError(BaseException):
    """What no `except Exception` stops."""


class Stubborn:
    """A receiver that raises until told otherwise, and keeps what it was called with."""

    def __init__(self) -> None:
        self.broken = True
        self.event_ids: list[UUID] = []
        self.statuses: list[str] = []

    def receive(self, *, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        self.event_ids.append(event_id)
        self.statuses.append(payment.status)
        if self.broken:
            raise ValueError("the payer 2290161000050 is unknown here")


@contextmanager
def listening(receiver: Callable[..., None]) -> Iterator[None]:
    host_signals.payment_failed.connect(receiver, weak=False)
    try:
        yield
    finally:
        host_signals.payment_failed.disconnect(receiver)


@pytest.fixture
def stubborn() -> Iterator[Stubborn]:
    stubborn = Stubborn()
    with listening(stubborn.receive):
        yield stubborn


@pytest.fixture
def failed(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """FAILED, its signal not yet delivered."""
    payment = begin()
    ledger.move(only_attempt(payment).pk, Status.FAILED, Cause(source=Source.WORKER, because="test"))
    return payment


def test_message_is_delivered_once_with_its_event_id(failed: Payment, clock: Clock, signals: Recorder) -> None:
    message = OutboxMessage.objects.get()

    assert outbox.deliver() == 1
    assert outbox.deliver() == 0

    assert signals.heard == [("payment_failed", failed.pk, message.event_id)]
    message.refresh_from_db()
    assert (message.delivered_at, message.next_delivery_at) == (clock.at, None)
    assert (message.delivery_count, message.last_error) == (1, "")


def test_payment_is_read_afresh_for_its_receivers(failed: Payment, stubborn: Stubborn, clock: Clock) -> None:
    stubborn.broken = False
    ledger.move(only_attempt(failed).pk, Status.REVIEW, Cause(source=Source.WORKER, because="test"))

    outbox.deliver()

    assert stubborn.statuses == ["review"]


def test_receiver_that_raises_is_called_again_after_growing_waits(
    failed: Payment, stubborn: Stubborn, clock: Clock, signals: Recorder
) -> None:
    waits = []
    for _ in range(14):
        assert outbox.deliver() == 0
        due_at = OutboxMessage.objects.get().next_delivery_at
        assert due_at is not None
        waits.append((due_at - clock.at).total_seconds())
        clock.advance_to(due_at)

    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]
    stubborn.broken = False
    assert outbox.deliver() == 1
    assert len(set(stubborn.event_ids)) == 1
    assert len(stubborn.event_ids) == 15
    # The others saw it again and again, too: they must be idempotent on its event id.
    assert len(signals.heard) == 15


def test_receiver_without_a_name_that_raises_is_an_error_like_others(failed: Payment, clock: Clock) -> None:
    """Django's send_robust stumbles over it; a worker must not."""

    def broken(number: int, *, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        raise ValueError

    with listening(functools.partial(broken, 1)):
        assert outbox.deliver() == 0

    assert OutboxMessage.objects.get().last_error in ("ValueError", "AttributeError")
    clock.advance(2)
    assert outbox.deliver() == 1


def test_error_is_remembered_by_its_name_only(failed: Payment, stubborn: Stubborn, clock: Clock) -> None:
    outbox.deliver()

    message = OutboxMessage.objects.get()
    assert (message.last_error, message.delivered_at) == ("ValueError", None)


def test_one_message_that_fails_does_not_hold_up_the_next(
    failed: Payment, stubborn: Stubborn, clock: Clock, signals: Recorder
) -> None:
    ledger.move(only_attempt(failed).pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))

    assert outbox.deliver() == 2

    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_message_under_delivery_is_nobody_elses(failed: Payment, clock: Clock, stubborn: Stubborn) -> None:
    """Its deliverer died in a receiver: it comes back when the lease ends, with the same event id."""

    def die(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        raise KilledError

    with listening(die), pytest.raises(KilledError):
        outbox.deliver()
    stubborn.broken = False

    assert outbox.deliver() == 0
    clock.advance(60)
    assert outbox.deliver() == 1
    assert len(set(stubborn.event_ids)) == 1


def test_message_that_somebody_else_took_meanwhile_is_left_to_them(
    failed: Payment, clock: Clock, signals: Recorder
) -> None:
    old_copy = OutboxMessage.objects.get()
    assert outbox.deliver() == 1

    assert outbox._deliver(old_copy) is False

    assert len(signals.heard) == 1
