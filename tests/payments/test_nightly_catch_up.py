"""Missed nightly comparisons run later: each of them, oldest first, one at a time, by any number of workers."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from django_feexpay.background import tasks
from django_feexpay.models import Comparison, Credit, Discrepancy, Incident
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import nightly
from tests.conftest import Configure
from tests.payments.comparing import write
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock, moves, only_attempt, sweep, sweep_until_final
from tests.payments.test_nightly import TUESDAY, go_to_weekday, run_next
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
SATURDAY = 6


@pytest.fixture
def first_night(begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock) -> date:
    """An attempt was sent on Tuesday, and the comparison of the night after it ran."""
    go_to_weekday(clock, TUESDAY)
    begin(merchant_reference="first")
    write(history, gateway.last(), clock.at.date())
    clock.at = clock.at.replace(hour=3, minute=0) + DAY
    assert run_next() is not None
    return clock.at.date()


def run_all(most: int = 100) -> list[Comparison]:
    done: list[Comparison] = []
    while len(done) < most and (comparison := run_next()) is not None:
        done.append(comparison)
    return done


@pytest.mark.parametrize("missed", [1, 3, 40])
def test_missed_nights_are_compared_oldest_first(first_night: date, clock: Clock, missed: int) -> None:
    clock.advance((missed + 1) * 86_400)

    done = run_all()

    assert [comparison.night for comparison in done] == [first_night + number * DAY for number in range(1, missed + 2)]
    assert {comparison.state for comparison in done} == {"complete"}


@pytest.mark.parametrize("missed", [3, 40])
def test_charge_of_a_missed_night_is_found(
    first_night: date, begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock, missed: int
) -> None:
    """FeexPay refused the requests and charged anyway. No worker polls, so only the comparison finds the charges."""
    payments = []
    for number in range(missed):
        gateway.next_collects = [refuse("Bad Request")]
        payments.append(begin(merchant_reference=f"order-{number}"))
        gateway.last().approve()
        write(history, gateway.last(), clock.at.date())
        clock.advance(86_400)
    clock.advance(86_400)
    assert Credit.objects.count() == 0

    run_all()

    assert {moves(payment)[-1] for payment in payments} == {"successful"}
    assert Credit.objects.count() == missed
    assert not Discrepancy.objects.at_stake().exists()


def test_each_call_compares_one_night(first_night: date, clock: Clock) -> None:
    clock.advance(5 * 86_400)

    last = run_next()

    assert last is not None
    assert (last.night, Comparison.objects.count()) == (first_night + DAY, 2)


def test_stopped_comparison_runs_before_later_nights(first_night: date, clock: Clock) -> None:
    clock.advance(4 * 86_400)
    stopped = nightly.run_nightly(source=Source.WORKER, stop=lambda: True)
    assert stopped is not None
    assert stopped.state == "stopped"

    done = run_all()

    assert [comparison.night for comparison in done] == [first_night + number * DAY for number in range(1, 5)]


def test_no_comparison_starts_while_another_runs(first_night: date, clock: Clock) -> None:
    clock.advance(4 * 86_400)
    claimed = nightly.claim(clock.at)
    assert claimed is not None

    assert run_next() is None

    clock.advance(601)
    assert [comparison.night for comparison in run_all()][:2] == [claimed.night, first_night + 2 * DAY]


def test_after_an_unanswered_comparison_none_starts_for_an_hour(
    first_night: date, history: FakeHistory, clock: Clock
) -> None:
    clock.advance(4 * 86_400)
    history.requests.clear()
    history.fails_after = 0

    assert len(run_all()) == 1
    assert len(history.requests) <= 3

    history.fails_after = None
    clock.advance(3601)
    done = run_all()
    assert [comparison.night for comparison in done] == [first_night + number * DAY for number in range(1, 5)]
    assert {comparison.state for comparison in done} == {"complete"}


def test_missed_night_between_two_others_is_compared(first_night: date, clock: Clock) -> None:
    clock.advance(4 * 86_400)
    run_all()
    missing = first_night + 2 * DAY
    Comparison.objects.filter(night=missing).delete()

    assert [comparison.night for comparison in run_all()] == [missing]


def test_cluster_compares_as_many_nights_as_time_allows(first_night: date, clock: Clock) -> None:
    clock.advance(3 * 86_400)

    assert tasks.run_nightly().count("comparison") == 3
    assert tasks.run_nightly() == ""


def test_without_any_comparison_at_most_a_month_is_compared(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock, configure: Configure
) -> None:
    begin()
    clock.at = clock.at.replace(hour=3) + timedelta(days=60)

    done = run_all()

    tonight = clock.at.date()
    assert (done[0].night, done[-1].night) == (tonight - nightly.OLDEST_NIGHT_AGE, tonight)


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_two_workers_compare_each_night_once(first_night: date, clock: Clock) -> None:
    clock.advance(6 * 86_400)

    for _ in range(12):
        at_once(2, lambda _: run_next())

    runs = list(Comparison.objects.order_by("started_at", "id").values_list("night", "start_count"))
    assert runs == [(first_night + number * DAY, 1) for number in range(7)]


def test_sunday_comparison_covers_the_week_before(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    """FeexPay reversed the payment after its day was compared twice, and sent no webhook."""
    go_to_weekday(clock, SATURDAY)
    payment = begin()
    gateway.last().approve()
    sweep_until_final(payment, clock)
    write(history, gateway.last(), clock.at.date())
    clock.at = clock.at.replace(hour=3) + 3 * DAY
    run_all()
    history.rows[0]["status"] = gateway.last().status = "REVERSED"
    for _ in range(4):
        clock.advance(86_400)
        run_all()
    assert not Incident.objects.exists()

    clock.advance(86_400)
    [sunday] = run_all()
    sweep()

    assert (sunday.night, (sunday.last_day - sunday.first_day).days + 1) == (clock.at.date(), nightly.DAYS_ON_SUNDAY)
    assert Incident.objects.get().attempt == only_attempt(payment)
    assert [row["signal"] for row in payment.outbox.values("signal")][-1] == "payment_reversed"
