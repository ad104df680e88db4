"""Committed events reach the host's receivers at least once, whatever the receivers do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from django_feexpay import signals as host_signals
from django_feexpay.lifecycle import Status
from django_feexpay.models import OutboxMessage, Payment
from django_feexpay.payments import ledger, outbox
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.receivers import Bulkhead, Claim, Invocation, Start
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Recorder, only_attempt

pytestmark = pytest.mark.django_db


class KilledError(BaseException):
    """An error that `except Exception` does not catch."""


class FailingReceiver:
    """A receiver that raises while `broken`, and records its calls."""

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
def failing_receiver() -> Iterator[FailingReceiver]:
    failing_receiver = FailingReceiver()
    with listening(failing_receiver.receive):
        yield failing_receiver


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

    assert signals.received == [("payment_failed", failed.pk, message.event_id)]
    message.refresh_from_db()
    assert (message.delivered_at, message.next_delivery_at) == (clock.at, None)
    assert (message.delivery_count, message.last_error) == (1, "")


def test_payment_is_read_again_for_its_receivers(
    failed: Payment, failing_receiver: FailingReceiver, clock: Clock
) -> None:
    failing_receiver.broken = False
    ledger.move(only_attempt(failed).pk, Status.REVIEW, Cause(source=Source.WORKER, because="test"))

    outbox.deliver()

    assert failing_receiver.statuses == ["review"]


def test_receiver_that_raises_is_called_again_after_growing_waits(
    failed: Payment, failing_receiver: FailingReceiver, clock: Clock, signals: Recorder
) -> None:
    waits = []
    for _ in range(14):
        assert outbox.deliver() == 0
        due_at = OutboxMessage.objects.get().next_delivery_at
        assert due_at is not None
        waits.append((due_at - clock.at).total_seconds())
        clock.advance_to(due_at)

    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]
    failing_receiver.broken = False
    assert outbox.deliver() == 1
    assert len(set(failing_receiver.event_ids)) == 1
    assert len(failing_receiver.event_ids) == 15
    # The other receiver accepted it the first time.
    assert len(signals.received) == 1


def test_receiver_without_a_name_that_raises_is_reported(failed: Payment, clock: Clock) -> None:
    """Django's send_robust raises for a `functools.partial`. Our worker names it by the function it wraps."""

    def broken(number: int, *, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        raise ValueError

    with listening(functools.partial(broken, 1)):
        assert outbox.deliver() == 0

    name = f"{__name__}.{broken.__qualname__}"
    assert OutboxMessage.objects.get().last_error == f"ValueError: {name}"
    clock.advance(2)
    assert outbox.deliver() == 1


def test_error_is_stored_as_its_type_and_receiver_only(
    failed: Payment, failing_receiver: FailingReceiver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.deliver()

    message = OutboxMessage.objects.get()
    assert message.last_error == f"ValueError: {__name__}.FailingReceiver.receive"
    assert message.delivered_at is None
    assert "2290161000050" not in caplog.text


def test_one_message_that_fails_does_not_delay_the_next(
    failed: Payment, failing_receiver: FailingReceiver, clock: Clock, signals: Recorder
) -> None:
    ledger.move(only_attempt(failed).pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))

    assert outbox.deliver() == 2

    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_message_under_delivery_is_claimed_by_no_other_worker(
    failed: Payment, clock: Clock, failing_receiver: FailingReceiver
) -> None:
    """Its worker dies in a receiver. The message is delivered again after the lease, with the same event id."""

    def die(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        raise KilledError

    with listening(die), pytest.raises(KilledError):
        outbox.deliver()
    failing_receiver.broken = False

    assert outbox.deliver() == 0
    clock.advance(60)
    assert outbox.deliver() == 1
    assert len(set(failing_receiver.event_ids)) == 1


def test_message_that_another_worker_has_claimed_is_not_delivered(
    failed: Payment, clock: Clock, signals: Recorder
) -> None:
    old_copy = OutboxMessage.objects.get()
    assert outbox.deliver() == 1

    assert outbox._claim_one(old_copy, clock.at) is None

    assert len(signals.received) == 1


@pytest.mark.parametrize("broken", [False, True], ids=["accepted", "raised"])
def test_worker_that_lost_its_lease_writes_nothing(failed: Payment, clock: Clock, broken: bool) -> None:
    """The receiver takes longer than the lease, and another worker has claimed the message."""
    theirs = clock.at + timedelta(seconds=77)

    def slow(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        OutboxMessage.objects.update(next_delivery_at=theirs)
        if broken:
            raise ValueError

    with listening(slow):
        assert outbox.deliver() == 0

    message = OutboxMessage.objects.get()
    assert (message.next_delivery_at, message.delivered_at, message.last_error) == (theirs, None, "")


def test_receiver_that_exits_is_reported(failed: Payment, clock: Clock, signals: Recorder) -> None:
    def exit_process(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        raise SystemExit

    with listening(exit_process):
        assert outbox.deliver() == 0

    assert OutboxMessage.objects.get().last_error.startswith("SystemExit: ")
    assert signals.names() == ["payment_failed"]


def test_receivers_are_called_in_the_order_they_were_connected_and_async_ones_too(
    failed: Payment, clock: Clock
) -> None:
    called: list[str] = []

    def first(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        called.append("first")

    async def last(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        called.append("async")

    def second(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        called.append("second")

    with listening(last), listening(first), listening(second):
        assert outbox.deliver() == 1

    assert called == ["first", "second", "async"]


def test_two_receivers_with_the_same_name_are_both_called_again(failed: Payment, clock: Clock) -> None:
    fine, broken = FailingReceiver(), FailingReceiver()
    fine.broken = False

    with listening(fine.receive), listening(broken.receive):
        assert outbox.deliver() == 0
        broken.broken = False
        clock.advance(2)
        assert outbox.deliver() == 1

    assert (len(fine.event_ids), len(broken.event_ids)) == (2, 2)


def test_receiver_connected_later_still_gets_a_message_that_waits(
    failed: Payment, failing_receiver: FailingReceiver, clock: Clock, signals: Recorder
) -> None:
    outbox.deliver()
    late = FailingReceiver()
    late.broken = failing_receiver.broken = False

    with listening(late.receive):
        clock.advance(2)
        assert outbox.deliver() == 1

    assert late.event_ids == failing_receiver.event_ids[:1]


def test_lease_is_renewed_between_many_receivers(failed: Payment, clock: Clock) -> None:
    """Each receiver may take ten seconds, so together they take longer than one lease."""
    claimed: list[int] = []
    rest = [FailingReceiver() for _ in range(8)]

    def take_time(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        clock.advance(10)
        claimed.append(len(outbox.claim(10, Bulkhead())))

    with ExitStack() as stack:
        for number, _ in enumerate(rest):
            receiver = functools.wraps(take_time)(lambda *, number=number, **kwargs: take_time(**kwargs))
            receiver.__qualname__ = f"receiver_{number}"
            stack.enter_context(listening(receiver))
        assert outbox.deliver() == 1

    assert claimed == [0] * 8


def test_later_message_of_a_payment_waits_for_the_earlier_one(failed: Payment, clock: Clock) -> None:
    ledger.move(only_attempt(failed).pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))
    bulkhead = Bulkhead()

    [held] = outbox.claim(10, bulkhead)
    assert (held.message.signal, outbox.claim(10, bulkhead)) == ("payment_failed", [])

    assert outbox.deliver_claimed(held, bulkhead) is outbox.Delivery.DONE
    assert [held.message.signal for held in outbox.claim(10, bulkhead)] == ["payment_succeeded"]


def test_signal_whose_receivers_are_busy_is_not_claimed(
    failed: Payment, clock: Clock, failing_receiver: FailingReceiver
) -> None:
    bulkhead = Bulkhead()
    [held] = outbox.claim(1, bulkhead)
    OutboxMessage.objects.update(next_delivery_at=clock.at)
    busy = [
        Invocation(f"{__name__}.FailingReceiver.receive", Claim(OutboxMessage(pk=-n), clock.at), ())
        for n in range(1, 5)
    ]
    for invocation in busy:
        assert bulkhead.begin(invocation) is Start.BEGUN

    assert outbox.claim(10, bulkhead) == []
    bulkhead.end(busy[0])
    assert [again.message.pk for again in outbox.claim(10, bulkhead)] == [held.message.pk]


def test_later_message_does_not_wait_for_one_whose_only_receiver_hangs(
    failed: Payment, clock: Clock, failing_receiver: FailingReceiver
) -> None:
    ledger.move(only_attempt(failed).pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))
    bulkhead = Bulkhead()
    for number in range(1, 5):
        hanging = Invocation(f"{__name__}.FailingReceiver.receive", Claim(OutboxMessage(pk=-number), clock.at), ())
        bulkhead.begin(hanging)
        bulkhead.give_up(hanging)

    assert [held.message.signal for held in outbox.claim(10, bulkhead)] == ["payment_succeeded"]


def test_receiver_that_is_busy_gets_the_message_a_second_later_and_others_get_it_now(
    failed: Payment, clock: Clock, failing_receiver: FailingReceiver, signals: Recorder
) -> None:
    failing_receiver.broken = False
    bulkhead = Bulkhead()
    busy = [
        Invocation(f"{__name__}.FailingReceiver.receive", Claim(OutboxMessage(pk=-n), clock.at), ())
        for n in range(1, 5)
    ]
    for invocation in busy:
        bulkhead.begin(invocation)
    [held] = outbox.claim(1, bulkhead)

    assert outbox.deliver_claimed(held, bulkhead) is outbox.Delivery.AGAIN_LATER

    message = OutboxMessage.objects.get()
    assert (message.next_delivery_at, message.last_error) == (clock.at + timedelta(seconds=1), "")
    assert (len(signals.received), failing_receiver.event_ids) == (1, [])
    bulkhead.end(busy[0])
    clock.advance(1)
    [held] = outbox.claim(1, bulkhead)
    assert outbox.deliver_claimed(held, bulkhead) is outbox.Delivery.DONE
    assert (len(signals.received), len(failing_receiver.event_ids)) == (1, 1)


def test_database_without_skip_locked_claims_row_by_row(
    failed: Payment, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", False)

    assert len(outbox.claim(10, Bulkhead())) == 1
    assert outbox.claim(10, Bulkhead()) == []
    clock.advance(60)
    assert len(outbox.claim(10, Bulkhead())) == 1
