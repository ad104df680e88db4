"""While a clock is wrong (an hour back or a year ahead), no payment is ended wrongly or delayed for long.

On PostgreSQL the wrong clock is the database's, which is the only one that is read; on SQLite it is the host's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_feexpay import cache_state, conf
from django_feexpay import signals as host_signals
from django_feexpay.background import tasks, worker
from django_feexpay.conf import feexpay
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import NotSentError
from django_feexpay.gateway.reports import hint_from
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt, Comparison, Credit, Heartbeat, OutboxMessage, Payment
from django_feexpay.monitoring import health
from django_feexpay.payments import idempotency, leases, outbox, webhook_hints
from django_feexpay.payments.admission import circuit_breaker, rate_budget
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered
from django_feexpay.payments.invariants import INVARIANTS
from django_feexpay.payments.poll_schedule import longest_waits, next_poll_time
from django_feexpay.payments.reconciliation import nightly
from tests.payments.comparing import write
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import Charge, ModelGateway, lose_the_answer
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock, Recorder, only_attempt, sweep, sweep_at_next_poll, sweep_until_final

pytestmark = pytest.mark.django_db

YEAR = timedelta(days=365)
HOUR = timedelta(hours=1)

Ending = Callable[[Charge], None]


@contextmanager
def wrong(clock: Clock, by: timedelta) -> Iterator[None]:
    """The clock is wrong in the block."""
    clock.at += by
    try:
        yield
    finally:
        clock.at -= by


def one_minute_of_work(clock: Clock) -> None:
    """Do what a worker does within a minute."""
    worker.correct_clock_errors()
    sweep()
    clock.advance(60)
    sweep()


# --- a year ahead, for one sweep ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [lambda charge: None, Charge.decline], ids=["the payer has not answered", "the payer has declined"]
)
def test_attempt_that_ended_a_year_ahead_is_polled_again_and_credited(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder, answer: Ending
) -> None:
    """The sweep plans the next poll of either attempt a year ahead or later."""
    payment = begin()
    answer(gateway.last())
    with wrong(clock, YEAR):
        Attempt.objects.update(next_poll_at=clock.at)
        sweep()
    clock.advance(60)
    gateway.last().approve()

    one_minute_of_work(clock)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.count()) == ("successful", 1)
    assert "payment_succeeded" in signals.names()


def test_lost_answer_is_found_after_a_sweep_a_year_ahead(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    with wrong(clock, YEAR):
        Attempt.objects.update(next_poll_at=clock.at)
        sweep()
    write(history, gateway.last(), clock.at.date())
    gateway.last().approve()

    one_minute_of_work(clock)

    assert sweep_until_final(payment, clock).status == "successful"


def test_start_a_year_ahead_is_searched_for_in_todays_history(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    gateway.next_collects.append(lose_the_answer)
    with wrong(clock, YEAR):
        payment = begin()
    write(history, gateway.last(), clock.at.date())
    gateway.last().approve()

    one_minute_of_work(clock)

    assert sweep_until_final(payment, clock).status == "successful"


def test_two_empty_searches_are_needed_after_the_clock_is_corrected(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    """The first search is dated next year, which would delay the second one until then."""
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    with wrong(clock, YEAR):
        Attempt.objects.update(next_poll_at=clock.at)
        sweep()
    assert only_attempt(payment).first_empty_search_at is not None

    clock.advance(300)
    worker.correct_clock_errors()
    while only_attempt(payment).status == "unknown":
        sweep_at_next_poll(clock)

    assert clock.at - payment.created_at <= timedelta(hours=25)
    assert only_attempt(payment).reason_code == "never_arrived"


def test_webhook_makes_an_attempt_due_after_a_sweep_a_year_ahead(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    with wrong(clock, YEAR):
        Attempt.objects.update(next_poll_at=clock.at)
        sweep()
    gateway.last().approve()

    webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    clock.advance(3)
    sweep()

    payment.refresh_from_db()
    assert payment.status == "successful"


def test_signal_delayed_until_next_year_is_delivered(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    def fail(**kwargs: Any) -> None:
        raise ArithmeticError

    begin()
    gateway.last().approve()
    clock.advance(5)
    host_signals.payment_succeeded.connect(fail)
    sweep()
    with wrong(clock, YEAR):
        outbox.deliver()
    host_signals.payment_succeeded.disconnect(fail)
    assert OutboxMessage.objects.get().next_delivery_at is not None

    assert outbox.deliver() == 1
    assert OutboxMessage.objects.get().delivered_at == clock.at


def test_lease_until_next_year_ends_today(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """The worker that claimed the attempt has died."""
    payment = begin()
    clock.advance(5)
    with wrong(clock, YEAR):
        leases.claim_due(10, unsent=False)
    gateway.last().approve()

    one_minute_of_work(clock)

    payment.refresh_from_db()
    assert payment.status == "successful"


# --- an hour back ---------------------------------------------------------------------------------------


def test_no_payment_waits_for_an_hour_if_the_clock_goes_back_an_hour(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    clock.advance(5)
    sweep()
    clock.at -= HOUR
    gateway.last().approve()

    one_minute_of_work(clock)

    payment.refresh_from_db()
    assert payment.status == "successful"


def test_webhook_makes_its_attempt_due_if_the_clock_goes_back_an_hour(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    clock.advance(5)
    sweep()
    clock.at -= HOUR
    gateway.last().approve()

    webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    clock.advance(3)
    sweep()

    payment.refresh_from_db()
    assert payment.status == "successful"


def test_double_tap_is_refused_if_the_clock_goes_back_an_hour(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    begin()
    clock.at -= HOUR - timedelta(seconds=5)

    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        begin()

    assert len(gateway.charges) == 1


def test_payment_dated_next_year_is_no_double_tap(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    with wrong(clock, YEAR):
        begin()

    assert begin().status == "pending"


def test_prompts_dated_next_year_do_not_count(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(PROMPTS_PER_PHONE=1)
    with wrong(clock, YEAR):
        begin(merchant_reference="order-1")

    assert begin(merchant_reference="order-2").status == "pending"

    assert "I18" not in broken()


def test_prompts_count_if_the_clock_goes_back_an_hour(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(PROMPTS_PER_PHONE=1)
    begin(merchant_reference="order-1")
    clock.at -= HOUR

    with pytest.raises(NotAllowedError, match="too_many_prompts"):
        begin(merchant_reference="order-2")


def test_payer_is_not_waited_for_until_next_year(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """FeexPay still waits for the payer, who never answers."""
    with wrong(clock, YEAR):
        payment = begin()

    one_minute_of_work(clock)
    assert only_attempt(payment).expires_at <= clock.at + feexpay.expiry
    for _ in range(10):
        worker.correct_clock_errors()
        sweep()
        clock.advance(feexpay.expiry.total_seconds() / 5)

    payment.refresh_from_db()
    assert (payment.status, len(gateway.charges)) == ("expired", 1)


def test_key_without_a_stored_answer_is_answered_from_its_payment(
    begin: Begin, gateway: ModelGateway, clock: Clock, player: Any
) -> None:
    key = idempotency.key_of(player, "key-1", "initiate", {})
    with wrong(clock, YEAR):
        payment = begin(key=key)

    with pytest.raises(AlreadyAnswered) as answered:
        begin(key=key)

    assert (answered.value.payment_id, len(gateway.charges)) == (payment.pk, 1)


# --- heartbeats -------------------------------------------------------------------------------------


def test_heartbeat_dated_next_year_is_not_recent(clock: Clock) -> None:
    for name in (worker.WORKER, worker.CLUSTER, worker.GATEWAY):
        Heartbeat.objects.create(name=name, beat_at=clock.at + YEAR)

    components = health.check().components

    assert (components["worker"], components["gateway"]) == ("silent", "silent")


def test_worker_heartbeat_dated_next_year_does_not_stop_the_cluster(clock: Clock) -> None:
    Heartbeat.objects.create(name=worker.WORKER, beat_at=clock.at + YEAR)
    tasks.schedule()

    assert tasks._does_cluster_sweep()


def test_comparison_of_a_future_night_is_deleted(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock, configure: Configure
) -> None:
    configure(COMPARE_AT="00:00")
    begin()
    clock.advance(86_400)
    with wrong(clock, YEAR):
        assert nightly.claim(clock.at) is not None
    assert "I19" in broken()

    worker.correct_clock_errors()

    assert not Comparison.objects.filter(night__gt=clock.at.date()).exists()
    tonight = nightly.claim(clock.at)
    assert tonight is not None
    assert tonight.night == clock.at.date()


def test_comparison_with_a_heartbeat_in_the_future_is_taken_over(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock, configure: Configure
) -> None:
    configure(COMPARE_AT="00:00")
    begin()
    clock.advance(86_400)
    first = nightly.claim(clock.at)
    assert nightly.claim(clock.at) is None
    Comparison.objects.update(beat_at=clock.at + YEAR)

    assert nightly.claim(clock.at) == first
    assert nightly.claim(clock.at) is None


# --- state in the cache ---------------------------------------------------------------------------------

TROUBLE = CallSeen(
    operation="collect", provider_code="mtn_bj", outcome="", seconds=0, error=NotSentError(), http_status=None
)
GOOD = CallSeen(operation="collect", provider_code="mtn_bj", outcome="answered", seconds=0, http_status=200)


def test_circuit_that_opened_next_year_admits_a_probe_and_closes(clock: Clock) -> None:
    with wrong(clock, YEAR):
        for _ in range(circuit_breaker.FAILURES_IN_A_ROW):
            circuit_breaker.record(TROUBLE)
        assert circuit_breaker.wait_seconds("mtn_bj", circuit_breaker.Action.SEND) == circuit_breaker.PAUSE_SECONDS

    assert circuit_breaker.seconds_until_probe(["mtn_bj"]) == {}
    assert circuit_breaker.wait_seconds("mtn_bj", circuit_breaker.Action.SEND) == 0
    circuit_breaker.record(GOOD)

    assert circuit_breaker.open_circuits(["mtn_bj"]) == []


def test_pause_that_began_next_year_has_ended(clock: Clock) -> None:
    answer_429 = CallSeen(
        operation="status", outcome="", seconds=0, error=NotSentError(retry_after_seconds=60), http_status=429
    )
    with wrong(clock, YEAR):
        rate_budget.record(answer_429)
        assert rate_budget.pause_seconds() == 60

    assert rate_budget.pause_seconds() == 0
    rate_budget.record(answer_429)
    assert rate_budget.pause_seconds() == 60
    cache_state.drop("budget:pause")


# --- invariant I19 --------------------------------------------------------------------------------------


def broken() -> set[str]:
    return {rule for rule, violations in INVARIANTS.items() if next(violations(), None) is not None}


@pytest.mark.parametrize("status", [status for status in Status if status not in (Status.SENDING, Status.FAILED)])
def test_no_poll_is_planned_later_than_the_longest_wait_of_its_age(status: Status) -> None:
    random_source = random.Random(7)  # noqa: S311 -- not for secrets
    made = datetime(2026, 11, 28, tzinfo=UTC)
    waits = longest_waits([5, 10, 900], live=status in LIVE)
    for _ in range(500):
        now = made + timedelta(seconds=random_source.choice([0, 60, 1799, 1801, 86_399, 86_401, 604_801, 40_000_000]))
        at = next_poll_time(
            status,
            now=now,
            created_at=made,
            expires_at=made + timedelta(seconds=random_source.choice([30, 900, 10_000_000])),
            polls=random_source.randrange(40),
            settled_at=None,
            poll_seconds=[5, 10, 900],
            random_source=random_source,
        )
        assert at is None or at - now <= next(wait for age, wait in waits if now - made <= age)


def test_correct_times_are_not_changed(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    endings: list[Ending] = [Charge.approve, Charge.decline, lambda charge: None]
    for number, ending in enumerate(endings):
        begin(merchant_reference=f"order-{number}")
        ending(gateway.last())
    for seconds in (5, 60, 600, 1800, 7200, 90_000, 700_000):
        clock.advance(seconds)
        sweep()
        assert leases.correct_schedule() == 0
        assert "I19" not in broken()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda at: Attempt.objects.update(next_poll_at=at + YEAR),
        lambda at: Attempt.objects.update(sent_at=at + YEAR),
        lambda at: OutboxMessage.objects.update(next_delivery_at=at + YEAR),
    ],
    ids=["a poll", "a sending", "a signal"],
)
def test_row_due_next_year_is_a_violation(
    begin: Begin, gateway: ModelGateway, clock: Clock, spoil: Callable[[datetime], int]
) -> None:
    payment = begin()
    OutboxMessage.objects.create(
        payment=payment, signal="payment_failed", next_delivery_at=clock.at, created_at=clock.at
    )
    assert "I19" not in broken()

    assert spoil(clock.at) == 1

    assert "I19" in broken()


# --- which clock is read --------------------------------------------------------------------------------


@pytest.mark.postgres_only
@pytest.mark.parametrize("by", [-HOUR, HOUR, YEAR])
def test_postgresql_clock_is_used_instead_of_the_hosts_clock(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    real = timezone.now
    monkeypatch.setattr("django.utils.timezone.now", lambda: real() + by)

    payment: Payment = begin()
    gateway.last().approve()
    webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    Attempt.objects.update(next_poll_at=payment.created_at)
    sweep()

    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at = cursor.fetchone()[0]
    instants = [payment.created_at, Attempt.objects.get().settled_at, Credit.objects.get().created_at, conf.now()]
    assert all(instant is not None and abs(instant - at) < timedelta(minutes=5) for instant in instants)
