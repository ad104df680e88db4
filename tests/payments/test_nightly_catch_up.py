"""Nights on which nothing ran are made up: each of them, the oldest first, one after the other, by any number of
workers."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from django_feexpay.background import tasks
from django_feexpay.models import Comparison, Credit, Discrepancy, Incident
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import nightly
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fake_history import Archive
from tests.payments.fakes import Clock, moves, only_attempt, run_until_told, sweep
from tests.payments.test_compare import write
from tests.payments.test_nightly import TUESDAY, go_to, keep
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
SATURDAY = 6


@pytest.fixture
def first_night(begin: Begin, gateway: ModelGateway, archive: Archive, clock: Clock) -> date:
    """Something was sent on a Tuesday, and the night after it was kept."""
    go_to(clock, TUESDAY)
    begin(merchant_reference="first")
    write(archive, gateway.last(), clock.at.date())
    clock.at = clock.at.replace(hour=3, minute=0) + DAY
    assert keep() is not None
    return clock.at.date()


def keep_all(most: int = 100) -> list[Comparison]:
    done: list[Comparison] = []
    while len(done) < most and (comparison := keep()) is not None:
        done.append(comparison)
    return done


@pytest.mark.parametrize("missed", [1, 3, 40])
def test_missed_nights_are_compared_oldest_first(first_night: date, clock: Clock, missed: int) -> None:
    clock.advance((missed + 1) * 86_400)

    done = keep_all()

    assert [comparison.night for comparison in done] == [first_night + number * DAY for number in range(1, missed + 2)]
    assert {comparison.state for comparison in done} == {"complete"}


@pytest.mark.parametrize("missed", [3, 40])
def test_charge_of_a_missed_night_is_found(
    first_night: date, begin: Begin, gateway: ModelGateway, archive: Archive, clock: Clock, missed: int
) -> None:
    """FeexPay refused, and charged all the same: nobody asks about it but the night."""
    payments = []
    for number in range(missed):
        gateway.next_collects = [refuse("Bad Request")]
        payments.append(begin(merchant_reference=f"order-{number}"))
        gateway.last().approve()
        write(archive, gateway.last(), clock.at.date())
        clock.advance(86_400)
    clock.advance(86_400)
    assert Credit.objects.count() == 0

    keep_all()

    assert {moves(payment)[-1] for payment in payments} == {"successful"}
    assert Credit.objects.count() == missed
    assert not Discrepancy.objects.at_stake().exists()


def test_each_call_compares_one_night(first_night: date, clock: Clock) -> None:
    clock.advance(5 * 86_400)

    kept = keep()

    assert kept is not None
    assert (kept.night, Comparison.objects.count()) == (first_night + DAY, 2)


def test_stopped_comparison_runs_before_later_nights(first_night: date, clock: Clock) -> None:
    clock.advance(4 * 86_400)
    stopped = nightly.run_nightly(source=Source.WORKER, stop=lambda: True)
    assert stopped is not None
    assert stopped.state == "stopped"

    done = keep_all()

    assert [comparison.night for comparison in done] == [first_night + number * DAY for number in range(1, 5)]


def test_no_comparison_starts_while_another_runs(first_night: date, clock: Clock) -> None:
    clock.advance(4 * 86_400)
    taken = nightly.claim(clock.at)
    assert taken is not None

    assert keep() is None

    clock.advance(601)
    assert [comparison.night for comparison in keep_all()][:2] == [taken.night, first_night + 2 * DAY]


def test_after_an_unanswered_comparison_none_starts_for_an_hour(
    first_night: date, archive: Archive, clock: Clock
) -> None:
    clock.advance(4 * 86_400)
    archive.asked.clear()
    archive.silent_after = 0

    assert len(keep_all()) == 1
    assert len(archive.asked) <= 3

    archive.silent_after = None
    clock.advance(3601)
    done = keep_all()
    assert [comparison.night for comparison in done] == [first_night + number * DAY for number in range(1, 5)]
    assert {comparison.state for comparison in done} == {"complete"}


def test_missed_night_between_two_others_is_compared(first_night: date, clock: Clock) -> None:
    clock.advance(4 * 86_400)
    keep_all()
    missing = first_night + 2 * DAY
    Comparison.objects.filter(night=missing).delete()

    assert [comparison.night for comparison in keep_all()] == [missing]


def test_cluster_compares_as_many_nights_as_time_allows(first_night: date, clock: Clock) -> None:
    clock.advance(3 * 86_400)

    assert tasks.run_nightly().count(": complete") == 3
    assert tasks.run_nightly() == ""


def test_without_any_comparison_at_most_a_month_is_compared(
    begin: Begin, gateway: ModelGateway, archive: Archive, clock: Clock, configure: Configure
) -> None:
    begin()
    clock.at = clock.at.replace(hour=3) + timedelta(days=60)

    done = keep_all()

    tonight = clock.at.date()
    assert (done[0].night, done[-1].night) == (tonight - nightly.GIVEN_UP_AFTER, tonight)


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_two_workers_compare_each_night_once(first_night: date, clock: Clock) -> None:
    clock.advance(6 * 86_400)

    for _ in range(12):
        at_once(2, lambda _: keep())

    kept = list(Comparison.objects.order_by("started_at", "id").values_list("night", "start_count"))
    assert kept == [(first_night + number * DAY, 1) for number in range(7)]


def test_sunday_comparison_covers_the_week_before(
    begin: Begin, gateway: ModelGateway, archive: Archive, clock: Clock
) -> None:
    """The money was taken back when its day had been compared twice, and no webhook told."""
    go_to(clock, SATURDAY)
    payment = begin()
    gateway.last().approve()
    run_until_told(payment, clock)
    write(archive, gateway.last(), clock.at.date())
    clock.at = clock.at.replace(hour=3) + 3 * DAY
    keep_all()
    archive.rows[0]["status"] = gateway.last().status = "REVERSED"
    for _ in range(4):
        clock.advance(86_400)
        keep_all()
    assert not Incident.objects.exists()

    clock.advance(86_400)
    [sunday] = keep_all()
    sweep()

    assert (sunday.night, (sunday.last_day - sunday.first_day).days + 1) == (clock.at.date(), nightly.DAYS_ON_SUNDAY)
    assert Incident.objects.get().attempt == only_attempt(payment)
    assert [row["signal"] for row in payment.outbox.values("signal")][-1] == "payment_reversed"
