"""The worker's loop: it does not wait for slow calls, survives errors, and leaves a heartbeat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections

from django_feexpay import signals as host_signals
from django_feexpay.background import worker
from django_feexpay.background.worker import AutocommitOffError, Worker, probe_gateway
from django_feexpay.gateway.transport import WireReply
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Comparison, Credit, Heartbeat, OutboxMessage, Payment
from django_feexpay.payments import leases, outbox
from django_feexpay.payments.receivers import Bulkhead, Claim
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import Charge, ModelGateway, accept, lose_the_answer
from tests.payments.fakes import Clock, Recorder, now, only_attempt

# The threads write at the same time; SQLite's test database, in memory, locks whole tables.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

TIMEOUT_SECONDS = 60


@contextmanager
def at_work(*, every_seconds: float = 0.01, **options: Any) -> Iterator[Worker]:
    """A worker in a thread of its own, stopped at the end of the block."""
    stop = threading.Event()
    with Worker(**options) as running:
        thread = threading.Thread(target=_run, args=(running, stop, every_seconds))
        thread.start()
        try:
            yield running
        finally:
            stop.set()
            thread.join(TIMEOUT_SECONDS)
            assert not thread.is_alive()


def _run(running: Worker, stop: threading.Event, every_seconds: float) -> None:
    try:
        running.run(stop, every_seconds=every_seconds)
    finally:
        connections.close_all()


@contextmanager
def hearing(receiver: Callable[..., None]) -> Iterator[None]:
    host_signals.payment_succeeded.connect(receiver, weak=False)
    try:
        yield
    finally:
        host_signals.payment_succeeded.disconnect(receiver)


def wait_until(condition: Callable[[], bool]) -> None:
    ticks = threading.Event()
    for _ in range(TIMEOUT_SECONDS * 100):
        if condition():
            return
        ticks.wait(0.01)
    raise AssertionError("the condition did not become true")


def make_due() -> None:
    Attempt.objects.update(next_poll_at=now())


def status_of(payment: Payment) -> str:
    return Payment.objects.values_list("status", flat=True).get(pk=payment.pk)


# --- one round ------------------------------------------------------------------------------------------


def test_sweep_settles_due_attempts_and_delivers_their_signals(
    begin: Begin, gateway: ModelGateway, signals: Recorder
) -> None:
    payments = [begin(merchant_reference=str(number)) for number in range(5)]
    for charge in gateway.charges:
        charge.approve()
    make_due()

    with Worker() as running:
        assert running.sweep() == 5
        assert running.sweep() == 0

    assert {status_of(payment) for payment in payments} == {"successful"}
    assert signals.names() == ["payment_succeeded"] * 5


def test_sweep_sends_queued_attempts_and_marks_dead_senders(
    begin: Begin, gateway: ModelGateway, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    waiting = begin(merchant_reference="waits")
    configure(DISPATCH="inline")
    lost = begin(merchant_reference="lost")
    Attempt.objects.filter(payment=lost).update(status="sending", gateway_reference=None, next_poll_at=now())
    Payment.objects.filter(pk=lost.pk).update(status="sending")

    with Worker() as running:
        running.sweep()

    assert (status_of(waiting), status_of(lost)) == ("pending", "unknown")
    assert len(gateway.charges) == 2


def test_sweep_polls_no_attempt_before_it_is_due(begin: Begin, gateway: ModelGateway) -> None:
    begin()

    with Worker() as running:
        assert running.sweep() == 0

    assert gateway.of(Attempt.objects.get().pk)[0].status == "PENDING"


def test_error_of_one_attempt_does_not_stop_the_others(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = begin(merchant_reference="broken"), begin(merchant_reference="fine")
    for charge in gateway.charges:
        charge.approve()
    make_due()
    advance = worker.advance

    def fail_one(held: leases.Claim, **options: Any) -> None:
        if held.attempt_id == only_attempt(broken).pk:
            raise LookupError("a row that breaks us")
        advance(held, **options)

    monkeypatch.setattr(worker, "advance", fail_one)
    with Worker() as running:
        running.sweep()

    assert (status_of(broken), status_of(fine)) == ("pending", "successful")
    assert "failed; it is due again" in caplog.text
    assert only_attempt(broken).next_poll_at is not None


# --- the loop -------------------------------------------------------------------------------------------


def test_loop_settles_a_payment(begin: Begin, gateway: ModelGateway, signals: Recorder) -> None:
    payment = begin()
    gateway.last().approve()
    make_due()

    with at_work():
        wait_until(lambda: bool(signals.names()))

    assert signals.names() == ["payment_succeeded"]
    assert status_of(payment) == "successful"


def test_slow_send_delays_no_other_payment(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
    """A synchronous provider answers after its payer has acted. Other payments are settled meanwhile."""
    released = threading.Event()

    def slow(charge: Charge) -> WireReply:
        gateway.lock.release()  # the model gateway handles one request at a time; this transport handles several
        try:
            assert released.wait(TIMEOUT_SECONDS)
        finally:
            gateway.lock.acquire()
        return accept(charge)

    slow_payment = begin(provider="moov_bj", merchant_reference="slow")
    quick_payment = begin(merchant_reference="quick")
    gateway.last().approve()
    gateway.next_collects.append(slow)
    make_due()

    with at_work():
        try:
            wait_until(lambda: status_of(slow_payment) == "sending")
            wait_until(lambda: status_of(quick_payment) == "successful")
            assert status_of(slow_payment) == "sending"
        finally:
            released.set()
        wait_until(lambda: status_of(slow_payment) == "pending")

    assert len(gateway.charges) == 2


def test_polls_of_settled_payments_delay_no_live_one(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many webhooks are posted about failed payments, and FeexPay answers slowly about those."""
    released, rounds, asked = threading.Event(), list[int](), list[str]()
    failed = [begin(merchant_reference=f"failed-{number}") for number in range(20)]
    slow = {charge.reference for charge in gateway.charges}
    Attempt.objects.update(status=Status.FAILED, next_poll_at=now())
    Payment.objects.update(status=Status.FAILED)
    live = begin(merchant_reference="live")
    gateway.last().approve()
    answer, claim_due = gateway._status, leases.claim_due

    def answer_slowly(reference: str) -> WireReply:
        if reference in slow:
            asked.append(reference)
            gateway.lock.release()  # the model gateway handles one request at a time; this transport handles several
            try:
                assert released.wait(TIMEOUT_SECONDS)
            finally:
                gateway.lock.acquire()
        return answer(reference)

    def count_rounds(limit: int, **which: bool) -> list[leases.Claim]:
        rounds.append(limit)
        return claim_due(limit, **which)

    gateway._status = answer_slowly  # type: ignore[method-assign]
    monkeypatch.setattr(leases, "claim_due", count_rounds)
    with at_work():
        try:
            wait_until(lambda: len(asked) == 4)
            seen = len(rounds)
            wait_until(lambda: len(rounds) > seen + 30)  # by now they have taken all they could
            Attempt.objects.filter(payment=live).update(next_poll_at=now())
            wait_until(lambda: status_of(live) == "successful")
            assert len(asked) == 4
            assert {status_of(payment) for payment in failed} == {"failed"}
        finally:
            released.set()


def test_receiver_that_raises_does_not_stop_the_loop(begin: Begin, gateway: ModelGateway, signals: Recorder) -> None:
    calls: list[int] = []

    def broken(**kwargs: Any) -> None:
        calls.append(1)
        raise ValueError

    first = begin(merchant_reference="first")
    gateway.last().approve()
    make_due()
    with hearing(broken), at_work():
        wait_until(lambda: len(calls) == 1)
        second = begin(merchant_reference="second")
        gateway.last().approve()
        Attempt.objects.filter(payment=second).update(next_poll_at=now())
        wait_until(lambda: status_of(second) == "successful")

    assert status_of(first) == "successful"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OperationalError("FATAL: server closed the connection unexpectedly"), "the server closed the connection"),
        (InterfaceError("connection already closed"), "InterfaceError"),
        (DatabaseError("key (user)=(ama) violates a rule"), "DatabaseError"),
        (OperationalError("no such table: feexpay_attempt"), "run `manage.py migrate`"),
    ],
)
def test_worker_names_the_cause_of_a_database_error_and_tries_again(
    begin: Begin,
    gateway: ModelGateway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    cause: str,
) -> None:
    begin()
    gateway.last().approve()
    make_due()
    claim_due, failures = leases.claim_due, [1, 1, 1]

    def fail_three_times(*args: Any, **kwargs: Any) -> Any:
        if failures:
            failures.pop()
            raise error
        return claim_due(*args, **kwargs)

    monkeypatch.setattr(leases, "claim_due", fail_three_times)
    with at_work():
        wait_until(lambda: Credit.objects.count() == 1)

    assert caplog.text.count(cause) == 3
    assert "trying again in 0.0 s" in caplog.text
    assert "ama" not in caplog.text


@pytest.fixture
def no_autocommit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As with AUTOCOMMIT=False in DATABASES; a connection reads it when it connects."""
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
        yield
        connection.close()


@pytest.mark.parametrize("entry", [Worker.sweep, lambda running: running.run(threading.Event())])
def test_worker_refuses_a_connection_without_autocommit(no_autocommit: None, entry: Callable[[Worker], Any]) -> None:
    with Worker() as running, pytest.raises(AutocommitOffError, match="Remove AUTOCOMMIT"):
        entry(running)


def test_worker_command_ends_with_an_error_without_autocommit(no_autocommit: None) -> None:
    with pytest.raises(CommandError, match="E051.*AUTOCOMMIT"):
        call_command("feexpay_worker", "--once")


def test_pauses_grow_while_the_database_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            pauses.append(timeout)
            if len(pauses) == 9:
                self.set()
            return self.is_set()

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError

    looks: list[int] = []
    monkeypatch.setattr(worker, "minutely", [lambda: looks.append(len(pauses))])
    with Worker() as running:
        monkeypatch.setattr(leases, "claim_due", fail)
        running.run(Stop(), every_seconds=0.5)

    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert len(looks) == 1  # the first of its minute: the alerts must still be sent


def test_more_is_claimed_and_written_before_the_next_round(begin: Begin, gateway: ModelGateway) -> None:
    """One thread, and more due attempts than it may claim at once. The next round would come after the test."""
    for number in range(10):
        begin(merchant_reference=str(number))
    make_due()

    with at_work(concurrency=1, every_seconds=10 * TIMEOUT_SECONDS):
        wait_until(lambda: not Attempt.objects.exclude(poll_count=1).exists())

    assert Attempt.objects.filter(next_poll_at__gt=now()).count() == 10


@pytest.fixture
def slow_answers(gateway: ModelGateway) -> Iterator[threading.Semaphore]:
    """FeexPay answers one question about a status for each release of this semaphore."""
    allowed, answer = threading.Semaphore(0), gateway._status

    def answer_when_allowed(reference: str) -> WireReply:
        gateway.lock.release()  # the model gateway handles one request at a time; this transport handles several
        try:
            assert allowed.acquire(timeout=TIMEOUT_SECONDS)
        finally:
            gateway.lock.acquire()
        return answer(reference)

    gateway._status = answer_when_allowed  # type: ignore[method-assign]
    yield allowed
    allowed.release(1000)


def test_stopping_worker_writes_the_results_of_the_polls_under_way(
    begin: Begin, gateway: ModelGateway, slow_answers: threading.Semaphore
) -> None:
    begin()
    make_due()
    leased = Attempt.objects.filter(next_poll_at__gt=now() + leases.LEASE / 2)

    with at_work():
        wait_until(leased.exists)
        slow_answers.release()

    assert Attempt.objects.get().poll_count == 1


def test_stopping_worker_releases_what_it_has_only_claimed(
    begin: Begin, gateway: ModelGateway, clock: Clock, slow_answers: threading.Semaphore
) -> None:
    """Another worker need not wait for the end of its leases."""
    for number in range(2):
        begin(merchant_reference=str(number))
    clock.advance(60)
    due_at = dict(Attempt.objects.values_list("pk", "next_poll_at"))
    stop = threading.Event()
    with Worker(concurrency=1) as running:

        def answer_once_it_stops() -> None:
            assert running._stopping.wait(TIMEOUT_SECONDS)
            slow_answers.release()

        loop = threading.Thread(target=_run, args=(running, stop, 0.01))
        answers = threading.Thread(target=answer_once_it_stops)
        loop.start()
        answers.start()
        wait_until(lambda: Attempt.objects.filter(next_poll_at__gt=clock.at).count() == 2)
        stop.set()
        loop.join()
    answers.join()

    polled, released = Attempt.objects.order_by("-poll_count")
    assert (polled.poll_count, released.poll_count) == (1, 0)
    assert released.next_poll_at == due_at[released.pk]


def test_attempt_that_waited_long_for_a_thread_is_claimed_anew_before_its_poll(
    begin: Begin,
    gateway: ModelGateway,
    clock: Clock,
    slow_answers: threading.Semaphore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a poll, which takes 40 s at most, ends within its lease."""
    left: list[timedelta] = []
    reconcile_claimed = worker.reconcile_claimed

    def note_lease(held: leases.Claim, **options: Any) -> bool:
        left.append(held.lease - clock.at)
        return reconcile_claimed(held, **options)

    monkeypatch.setattr(worker, "reconcile_claimed", note_lease)
    for number in range(2):
        begin(merchant_reference=str(number))
    clock.advance(60)
    with at_work(concurrency=1):
        wait_until(lambda: len(left) == 1 and Attempt.objects.filter(next_poll_at__gt=clock.at).count() == 2)
        clock.advance(4)
        slow_answers.release(2)
        wait_until(lambda: len(left) == 2)

    assert left == [leases.LEASE, leases.LEASE]


class StoppedTime:
    """A monotonic clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at


# --- heartbeats -----------------------------------------------------------------------------------------


def test_worker_leaves_a_heartbeat_every_ten_seconds(
    gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = StoppedTime()
    monkeypatch.setattr(worker, "time", time)
    with Worker(name="worker") as running:
        started_at = clock.at
        running.sweep()
        assert Heartbeat.objects.get(name="worker").beat_at == started_at

        clock.advance(9)
        time.at += 9
        running.sweep()
        assert Heartbeat.objects.get(name="worker").beat_at == started_at

        clock.advance(1)
        time.at += 1
        running.sweep()
        assert Heartbeat.objects.get(name="worker").beat_at == clock.at


def test_heartbeats_continue_after_one_round_with_the_clock_a_year_ahead(
    gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_HEARTBEAT_EVERY", timedelta(0))
    right = clock.at
    with Worker(name="worker") as running:
        clock.at = right + timedelta(days=365)
        running.sweep()
        clock.at = right
        running.sweep()

    assert Heartbeat.objects.get(name="worker").beat_at == right
    assert Heartbeat.objects.get(name="gateway").beat_at == right  # asked again, and not next year


def test_gateway_is_probed_every_five_minutes_by_one_worker(gateway: ModelGateway, clock: Clock) -> None:
    probe_gateway()
    probe_gateway()
    assert gateway.questions == 1

    clock.advance(299)
    probe_gateway()
    assert gateway.questions == 1

    clock.advance(1)
    probe_gateway()
    assert gateway.questions == 2
    assert Heartbeat.objects.get(name="gateway").beat_at == clock.at


def test_gateway_that_does_not_answer_leaves_no_heartbeat(
    gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.reads_unanswered = True

    probe_gateway()

    assert not Heartbeat.objects.filter(name="gateway").exists()
    assert "the gateway does not answer" in caplog.text


def test_late_references_are_matched_with_the_heartbeat(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr("django_feexpay.payments.webhook_hints.match_late_references", lambda: calls.append(1))

    with Worker() as running:
        running.sweep()
        running.sweep()

    assert calls == [1]


def test_worker_never_sends_a_lost_attempt_again(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()

    with Worker() as running:
        for _ in range(5):
            clock.advance(60)
            running.sweep()

    assert (status_of(payment), len(gateway.charges)) == ("pending", 1)


def test_slow_receiver_delays_no_payment(begin: Begin, gateway: ModelGateway) -> None:
    released, entered = threading.Event(), threading.Event()

    def slow(**kwargs: Any) -> None:
        entered.set()
        assert released.wait(TIMEOUT_SECONDS)

    begin(merchant_reference="first")
    gateway.last().approve()
    make_due()
    with hearing(slow), at_work():
        try:
            assert entered.wait(TIMEOUT_SECONDS)
            second = begin(merchant_reference="second")
            gateway.last().approve()
            Attempt.objects.filter(payment=second).update(next_poll_at=now())
            wait_until(lambda: status_of(second) == "successful")
        finally:
            released.set()


def test_delivery_that_met_a_database_error_is_tried_again(
    begin: Begin, gateway: ModelGateway, signals: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver_claimed, failures = outbox.deliver_claimed, [OperationalError, InterfaceError]

    def fail_twice(held: Claim, bulkhead: Bulkhead) -> outbox.Delivery:
        if failures:
            OutboxMessage.objects.update(next_delivery_at=now())  # as when its lease has ended
            raise failures.pop()
        return deliver_claimed(held, bulkhead)

    monkeypatch.setattr(outbox, "deliver_claimed", fail_twice)
    begin()
    gateway.last().approve()
    make_due()

    with at_work():
        wait_until(lambda: bool(signals.names()))

    assert (signals.names(), failures) == (["payment_succeeded"], [])


def test_worker_runs_the_nightly_comparison(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    first_day = clock.at.date()
    clock.advance(2 * 86_400)
    complete = Comparison.objects.filter(night__isnull=False, state="complete")

    with at_work():
        wait_until(complete.exists)

    assert complete.earliest("night").last_day == first_day
