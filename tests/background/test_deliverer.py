"""Receivers that hang or are slow delay no other signal, hold a limited number of threads, and lose nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections

from django_feexpay import signals as host_signals
from django_feexpay.background import deliverer
from django_feexpay.background.deliverer import Deliverer
from django_feexpay.background.worker import Worker
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import OutboxMessage, OutboxReceipt, Payment
from django_feexpay.payments import outbox, receivers
from tests.background.test_worker import TIMEOUT_SECONDS, at_work, make_due, wait_until
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Recorder, now

# The threads write at the same time; SQLite's test database, in memory, locks whole tables.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]


class Hanging:
    """A receiver that does not return for some payments (for all, if none are named) until it is released."""

    def __init__(self, *payments: UUID) -> None:
        self.payments = payments
        self.released = threading.Event()
        self.entered: list[UUID] = []
        self.returned: list[UUID] = []

    def receive(self, *, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        self.entered.append(payment.pk)
        if not self.payments or payment.pk in self.payments:
            assert self.released.wait(TIMEOUT_SECONDS)
        self.returned.append(payment.pk)


class HangingToo(Hanging):
    """A second receiver with another name."""

    def receive(self, *, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        super().receive(payment=payment, event_id=event_id, **kwargs)


@contextmanager
def listening(*hanging: Hanging) -> Iterator[None]:
    """Connect the receivers, release them at the end, and wait until their threads have written their receipts."""
    for one in hanging:
        host_signals.payment_failed.connect(one.receive, weak=False)
    try:
        yield
    finally:
        for one in hanging:
            host_signals.payment_failed.disconnect(one.receive)
            one.released.set()
        wait_until(lambda: not any(thread.name == "feexpay-deliver" for thread in threading.enumerate()))


@pytest.fixture
def short_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver counts as hanging after 0.05 s."""
    monkeypatch.setattr(receivers, "LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(deliverer, "STOP_SECONDS", 0.05)


@pytest.fixture
def announce(begin: Begin) -> Callable[[int], list[UUID]]:
    """`announce(3)`: three payments, each with a due message."""

    def write(number: int) -> list[UUID]:
        payments = [begin(merchant_reference=str(n)) for n in range(number)]
        for payment in payments:
            OutboxMessage.objects.create(
                payment=payment, signal="payment_failed", next_delivery_at=now(), created_at=now()
            )
        return [payment.pk for payment in payments]

    return write


def signalled(signals: Recorder) -> set[UUID]:
    return {pk for _, pk, _ in signals.heard}


def test_hanging_and_slow_receivers_delay_no_other_payment(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, signals: Recorder
) -> None:
    first, second, third, *others = announce(8)
    one, two, slow = Hanging(first), HangingToo(second), Hanging(third)

    with listening(one, two, slow), at_work():
        wait_until(lambda: set(others) <= signalled(signals))
        wait_until(lambda: first in one.entered and second in two.entered and third in slow.entered)
        assert set(others) <= set(slow.returned)
        for hanging in (one, two, slow):
            hanging.released.set()
        wait_until(lambda: OutboxMessage.objects.filter(delivered_at=None).count() == 0)

    assert len(signals.heard) == 8


def test_receiver_that_always_hangs_delays_no_other_receiver(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, signals: Recorder, short_time_limits: None
) -> None:
    """It is connected first. The other receivers get the messages, which stay open for it."""
    hanging = Hanging()
    with _first(hanging):
        payments = announce(30)

        with at_work():
            wait_until(lambda: signalled(signals) == set(payments))
            wait_until(lambda: OutboxMessage.objects.filter(last_error__startswith="hangs: ").count() == 30)

        assert len(signals.heard) == 30
        assert OutboxReceipt.objects.count() == 30
        assert len(hanging.entered) <= receivers.HANGING_AT_MOST


@contextmanager
def _first(hanging: Hanging) -> Iterator[None]:
    """Connect the receiver before the recorder."""
    before = host_signals.payment_failed.receivers[:]
    host_signals.payment_failed.receivers.clear()
    with listening(hanging):
        host_signals.payment_failed.receivers += before
        host_signals.payment_failed.sender_receivers_cache.clear()
        yield


def test_receiver_that_does_not_return_is_abandoned_and_reported(
    announce: Callable[[int], list[UUID]],
    gateway: ModelGateway,
    short_time_limits: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    [payment] = announce(1)
    hanging = Hanging()

    with listening(hanging), at_work():
        wait_until(lambda: OutboxMessage.objects.get().last_error != "")
        message = OutboxMessage.objects.get()

        assert message.last_error == f"hangs: {__name__}.Hanging.receive"
        assert message.delivered_at is None
        assert message.next_delivery_at is not None
        assert f"{__name__}.Hanging.receive does not return on payment_failed of {payment}" in caplog.text


def test_receiver_that_returns_late_is_not_called_again_and_its_message_is_closed(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, signals: Recorder, short_time_limits: None
) -> None:
    [payment] = announce(1)
    hanging = Hanging()

    with listening(hanging), at_work():
        wait_until(lambda: OutboxMessage.objects.get().last_error != "")
        hanging.released.set()
        wait_until(lambda: OutboxReceipt.objects.filter(receiver=f"{__name__}.Hanging.receive").exists())
        OutboxMessage.objects.update(next_delivery_at=now())
        wait_until(lambda: OutboxMessage.objects.filter(delivered_at__isnull=False).exists())

    assert hanging.entered == hanging.returned == [payment]
    assert len(signals.heard) == 1


def test_late_return_does_not_change_a_message_that_another_worker_holds(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, short_time_limits: None
) -> None:
    announce(1)
    hanging = Hanging()
    with listening(hanging):
        with at_work():
            wait_until(lambda: OutboxMessage.objects.get().last_error != "")
        theirs = now()
        OutboxMessage.objects.update(next_delivery_at=theirs, last_error="theirs")

        hanging.released.set()
        wait_until(OutboxReceipt.objects.exists)

    message = OutboxMessage.objects.get()
    assert (message.next_delivery_at, message.last_error, message.delivered_at) == (theirs, "theirs", None)


def test_message_left_by_one_worker_is_delivered_by_the_next(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, signals: Recorder, short_time_limits: None
) -> None:
    """The worker is restarted after the receiver was fixed."""
    announce(1)
    with listening(hanging := Hanging()), at_work():
        wait_until(lambda: OutboxMessage.objects.get().last_error != "")
        event_id = OutboxMessage.objects.get().event_id
    assert hanging.entered

    OutboxMessage.objects.update(next_delivery_at=now())
    with at_work():
        wait_until(lambda: OutboxMessage.objects.filter(delivered_at__isnull=False).exists())

    assert {event for _, _, event in signals.heard} == {event_id}


def test_worker_stops_while_receivers_hang_and_releases_their_messages(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops before their time limit: `at_work` fails if the worker still runs."""
    monkeypatch.setattr(deliverer, "STOP_SECONDS", 0.05)
    payments = announce(3)
    hanging = Hanging()

    with listening(hanging):
        with at_work():
            wait_until(lambda: set(hanging.entered) == set(payments))
        assert hanging.returned == []
        due_again = [at for at in OutboxMessage.objects.values_list("next_delivery_at", flat=True) if at]
        assert len(due_again) == 3
        assert max(due_again) < now() + outbox.LEASE / 2


def test_cluster_sweep_delivers_while_feexpay_is_slow(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, signals: Recorder
) -> None:
    """The poll is answered only after the signal was delivered."""
    payments = announce(1)
    make_due()
    answer = gateway._status

    def wait_for_the_signal(reference: str) -> WireReply:
        wait_until(lambda: signalled(signals) == set(payments))
        return answer(reference)

    gateway._status = wait_for_the_signal  # type: ignore[method-assign]
    with Worker(name="cluster") as running:
        running.run(threading.Event(), seconds=0)

    assert signalled(signals) == set(payments)


def test_cluster_sweep_ends_although_a_receiver_hangs(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, signals: Recorder, short_time_limits: None
) -> None:
    stuck, *others = announce(4)

    with listening(Hanging(stuck)):
        with Worker(name="cluster") as running:
            running.run(threading.Event(), seconds=0)

        assert set(others) <= signalled(signals)
        assert OutboxMessage.objects.filter(delivered_at=None).count() == 1


def test_sweep_delivers_more_messages_than_it_has_threads(
    announce: Callable[[int], list[UUID]], gateway: ModelGateway, signals: Recorder
) -> None:
    payments = announce(3 * deliverer.THREADS)

    with Worker() as worker:
        worker.sweep()

    assert signalled(signals) == set(payments)
    assert len(signals.heard) == len(payments)


def test_thread_of_a_hanging_receiver_closes_its_connection_at_its_end(
    announce: Callable[[int], list[UUID]],
    gateway: ModelGateway,
    short_time_limits: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 60)
    announce(1)
    opened: list[Any] = []

    class Connected(Hanging):
        def receive(self, *, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
            opened.append((threading.current_thread(), connections["default"].connection))
            super().receive(payment=payment, event_id=event_id, **kwargs)

    with listening(hanging := Connected()), at_work():
        wait_until(lambda: OutboxMessage.objects.get().last_error != "")
        hanging.released.set()
        thread, line = opened[0]
        thread.join(TIMEOUT_SECONDS)

    assert (thread.is_alive(), line.closed) == (False, True)


def test_worker_ends_although_the_database_fails_at_the_end(
    announce: Callable[[int], list[UUID]],
    gateway: ModelGateway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(deliverer, "STOP_SECONDS", 0.05)
    [payment] = announce(1)

    def away(*args: object) -> None:
        raise OperationalError

    with listening(hanging := Hanging()):
        delivering = Deliverer()
        delivering.start_due()
        wait_until(lambda: bool(hanging.entered))
        monkeypatch.setattr(outbox, "give_up", away)
        delivering.close()
        assert hanging.returned == []

    assert "OperationalError" in caplog.text
    wait_until(lambda: hanging.returned == [payment])
