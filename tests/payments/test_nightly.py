"""The nightly comparison: one process claims it, another takes over after a crash. Without answers it is repeated."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from django_feexpay.models import Comparison, Credit, Discrepancy
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import nightly
from tests.conftest import Configure
from tests.payments.comparing import write
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db


def run_next() -> Comparison | None:
    return nightly.run_nightly(source=Source.WORKER)


TUESDAY = 2


def go_to_weekday(clock: Clock, weekday: int) -> None:
    """Move the clock to the next such weekday (Monday is 1)."""
    clock.at += timedelta(days=(weekday - clock.at.isoweekday()) % 7)


@pytest.fixture
def paid_on_tuesday(begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock) -> None:
    """A payment that was paid on Tuesday and never polled. The time is Wednesday, 02:00."""
    go_to_weekday(clock, TUESDAY)
    begin()
    gateway.last().approve()
    write(history, gateway.last(), clock.at.date())
    clock.at = clock.at.replace(hour=2, minute=0) + timedelta(days=1)


def test_nightly_comparison_covers_two_days_and_repairs(paid_on_tuesday: None, clock: Clock) -> None:
    comparison = run_next()

    assert comparison is not None
    yesterday = clock.at.date() - timedelta(days=1)
    assert (comparison.first_day, comparison.last_day) == (yesterday - timedelta(days=1), yesterday)
    assert (comparison.night, comparison.state) == (clock.at.date(), "complete")
    assert Credit.objects.count() == 1


def test_comparison_runs_once_a_night(
    paid_on_tuesday: None, clock: Clock, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run_next()
    clock.advance(3600)
    with django_assert_num_queries(1):
        assert run_next() is None

    clock.advance(23 * 3600)

    assert run_next() is not None
    assert Comparison.objects.count() == 2


def test_comparison_does_not_run_before_compare_at(paid_on_tuesday: None, clock: Clock) -> None:
    run_next()
    clock.advance(24 * 3600 - 60)

    assert run_next() is None


@pytest.mark.parametrize(("at", "runs"), [("", False), ("02:00", True), ("03:30", False), (None, False)])
def test_compare_at_is_a_setting(
    at: str | None, runs: bool, paid_on_tuesday: None, clock: Clock, configure: Configure
) -> None:
    """It is 02:00. With a later COMPARE_AT only yesterday's comparison is due, and nothing was sent before it."""
    configure(COMPARE_AT=at)

    assert (run_next() is not None) is runs


def test_without_a_sent_attempt_nothing_is_compared(history: FakeHistory) -> None:
    assert run_next() is None
    assert Comparison.objects.count() == 0


def test_running_comparison_is_taken_over_only_without_a_heartbeat(paid_on_tuesday: None, clock: Clock) -> None:
    claimed = nightly.claim(clock.at)
    assert claimed is not None

    clock.advance(300)
    assert run_next() is None
    clock.advance(301)

    restarted = run_next()
    assert restarted is not None
    assert (restarted.pk, restarted.start_count, restarted.state) == (claimed.pk, 2, "complete")


def test_stopped_comparison_is_taken_over_at_once(paid_on_tuesday: None) -> None:
    stopped = nightly.run_nightly(source=Source.WORKER, stop=lambda: True)
    assert stopped is not None
    assert stopped.state == "stopped"

    again = run_next()

    assert again is not None
    assert (again.start_count, again.state, again.compared_count) == (2, "complete", 1)


def test_unanswered_comparison_restarts_after_an_hour_then_daily_for_a_month(
    paid_on_tuesday: None, history: FakeHistory, clock: Clock
) -> None:
    history.fails_after = 0
    first = run_next()
    assert first is not None
    assert run_next() is None

    for _ in range(10):
        clock.advance(3601)
        run_next()
    first.refresh_from_db()
    assert first.start_count == nightly.MAX_STARTS

    for _ in range(4 * 40):
        clock.advance(6 * 3600)
        run_next()
    first.refresh_from_db()
    assert 20 < first.start_count < nightly.MAX_STARTS + 31
    assert first.state == "incomplete"


def test_comparison_that_is_stopped_repeatedly_still_completes(paid_on_tuesday: None) -> None:
    for _ in range(2 * nightly.MAX_STARTS):
        nightly.run_nightly(source=Source.WORKER, stop=lambda: True)

    last = run_next()

    assert last is not None
    assert (last.state, Credit.objects.count()) == ("complete", 1)


def test_comparison_whose_process_dies_repeatedly_restarts_daily(paid_on_tuesday: None, clock: Clock) -> None:
    for _ in range(20):
        nightly.claim(clock.at)
        clock.advance(601)
    assert Comparison.objects.get().start_count == nightly.MAX_STARTS

    clock.advance(86_400)
    nightly.claim(clock.at)

    assert Comparison.objects.order_by("night")[0].start_count == nightly.MAX_STARTS + 1


def test_second_start_begins_with_fresh_counts(paid_on_tuesday: None, history: FakeHistory, clock: Clock) -> None:
    history.fails_after = 0
    run_next()
    history.fails_after = None
    clock.advance(3601)

    comparison = run_next()

    assert comparison is not None
    assert (comparison.state, comparison.gap_count, comparison.gaps) == ("complete", 0, [])


def test_cut_history_causes_no_restart(paid_on_tuesday: None, history: FakeHistory, clock: Clock) -> None:
    history.add((clock.at - timedelta(days=1)).date().isoformat(), 501)
    run_next()
    clock.advance(2 * 3600)

    assert run_next() is None
    assert Comparison.objects.get().state == "incomplete"


def test_wrong_key_makes_the_nightly_comparison_incomplete(paid_on_tuesday: None, configure: Configure) -> None:
    configure(API_KEY="")

    comparison = run_next()

    assert comparison is not None
    assert (comparison.state, comparison.gaps[0]["why"]) == ("incomplete", "refused")


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_concurrent_workers_run_one_comparison(paid_on_tuesday: None) -> None:
    runs = at_once(4, lambda _: run_next())

    assert sum(comparison is not None for comparison in runs) == 1
    assert (Comparison.objects.count(), Discrepancy.objects.count(), Credit.objects.count()) == (1, 1, 1)
