"""The daily totals: what a day's payments add up to, kept by the background work and repairable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_feexpay.background.worker import Worker
from django_feexpay.models import DailyTotal, Payment
from django_feexpay.payments import daily_totals, shop_days
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt

pytestmark = pytest.mark.django_db

Settle = Callable[..., Payment]


@pytest.fixture
def settle(begin: Begin, gateway: ModelGateway, clock: Clock) -> Settle:
    """`settle(3, "approve", amount=2000)`: a payment that ends so after three seconds."""
    clock.at = clock.at.replace(hour=12)

    def make(seconds: int, ending: str, **changes: Any) -> Payment:
        payment = begin(merchant_reference=f"order-{Payment.objects.count()}", **changes)
        getattr(gateway.last(), ending)()
        clock.advance(seconds)
        reconcile(only_attempt(payment).pk, source=Source.WORKER)
        return payment

    return make


def total(day: date | None = None) -> DailyTotal:
    return DailyTotal.objects.get(**({} if day is None else {"day": day}))


def broken() -> list[str]:
    return [str(violation) for violation in violations(["I23"])]


def test_a_day_is_summed_by_its_payments(settle: Settle, clock: Clock) -> None:
    settle(3, "approve", amount=2000)
    settle(50, "approve", amount=5000)
    settle(9, "decline", amount=7000)

    daily_totals.update()

    row = total()
    assert (row.day, row.provider_id, row.currency) == (shop_days.day_of(clock.at), "mtn_bj", "XOF")
    assert (row.started, row.succeeded, row.failed, row.expired) == (3, 2, 1, 0)
    fees = Payment.objects.filter(status="successful").values_list("fee", flat=True)
    assert (row.amount, row.fee) == (7000, sum(fees))
    assert {bound: number for bound, number in zip(daily_totals.BOUNDS, row.settle_counts, strict=False) if number} == {
        5: 1,
        60: 1,
    }
    assert sum(row.reasons.values()) == 1


@pytest.mark.parametrize(("zone", "day"), [("Africa/Porto-Novo", 2), ("UTC", 1)])
def test_day_is_of_the_shops_time_zone(settle: Settle, settings: Any, clock: Clock, zone: str, day: int) -> None:
    clock.at = clock.at.replace(year=2026, month=5, day=1, hour=23, minute=30)
    settings.TIME_ZONE = zone
    settle(3, "approve")

    daily_totals.update()

    assert total().day == date(2026, 5, day)


def test_late_success_changes_the_day_on_which_the_payment_was_started(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    day = shop_days.day_of(clock.at)
    daily_totals.update()
    assert (total(day).started, total(day).succeeded) == (1, 0)

    clock.advance(2 * 86_400)
    gateway.last().approve()
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    daily_totals.update()

    assert (total(day).started, total(day).succeeded, total(day).settle_counts[-1]) == (1, 1, 1)


def test_only_changed_days_are_counted_again(settle: Settle, clock: Clock) -> None:
    settle(3, "approve")
    daily_totals.update()
    clock.advance(86_400)
    daily_totals.update()  # the events are older than ten minutes now, and are not looked at again
    settle(3, "approve")

    assert daily_totals.update() == 1
    with CaptureQueriesContext(connection) as seen:
        clock.advance(3600)
        daily_totals.update()
        quiet = len(seen)
        assert daily_totals.update() == 0

    assert len(seen) - quiet == 5


def test_event_that_is_committed_after_one_with_a_higher_id_is_counted(settle: Settle, clock: Clock) -> None:
    settle(3, "approve")
    settle(3, "approve")
    daily_totals.update()
    DailyTotal.objects.update(succeeded=1, amount=5000)  # as counted before the first payment's commit
    clock.advance(60)

    daily_totals.update()

    assert total().succeeded == 2


@pytest.mark.postgres_only  # SQLite's shared memory refuses a table that another thread of the worker writes
@pytest.mark.django_db(transaction=True)
def test_worker_keeps_the_totals(settle: Settle) -> None:
    settle(3, "approve")

    with Worker() as worker:
        worker.sweep()

    assert total().succeeded == 1


def test_new_time_zone_counts_every_day_again(settle: Settle, settings: Any, clock: Clock) -> None:
    clock.at = clock.at.replace(year=2026, month=5, day=1, hour=23, minute=30)
    settings.TIME_ZONE = "UTC"
    settle(3, "approve")
    daily_totals.update()

    settings.TIME_ZONE = "Africa/Porto-Novo"
    daily_totals.update()

    assert total().day == date(2026, 5, 2)


# --- verify and repair -------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"amount": 1}, {"succeeded": 9}, {"reasons": {"X": 1}}], ids=str)
def test_verify_finds_a_wrong_total_and_a_rebuild_repairs_it(settle: Settle, clock: Clock, wrong: Any) -> None:
    settle(3, "approve")
    clock.advance(3600)
    daily_totals.rebuild()
    assert broken() == []

    DailyTotal.objects.update(**wrong)
    assert len(broken()) == 1
    assert next(iter(wrong)) in broken()[0]

    said = StringIO()
    call_command("feexpay_totals", rebuild=True, stdout=said)
    assert (broken(), said.getvalue()) == ([], "1 days counted\n")


def test_verify_finds_a_lost_and_an_invented_total(settle: Settle, clock: Clock) -> None:
    settle(3, "approve")
    clock.advance(3600)
    daily_totals.rebuild()

    DailyTotal.objects.update(currency="XAF")
    assert len(broken()) == 2

    daily_totals.rebuild()
    assert (broken(), DailyTotal.objects.count()) == ([], 1)


def test_verify_waits_for_the_next_count_of_a_changed_day(settle: Settle, clock: Clock) -> None:
    settle(3, "approve")
    clock.advance(3600)
    daily_totals.rebuild()

    settle(3, "approve")

    assert broken() == []


def test_without_totals_verify_has_nothing_to_compare(settle: Settle) -> None:
    settle(3, "approve")

    assert broken() == []


# --- quantiles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "median", "slow"),
    [({}, None, None), ({2: 1}, 2, 2), ({5: 18, 60: 1, 900: 1}, 5, 60), ({5: 1, 30: 1}, 5, 30)],
    ids=["none", "one", "twenty", "two"],
)
def test_quantile_is_the_bound_that_holds_the_share(
    counts: dict[int, int], median: int | None, slow: int | None
) -> None:
    histogram = [*(counts.get(bound, 0) for bound in daily_totals.BOUNDS), 0]

    assert (daily_totals.quantile(histogram, 0.5), daily_totals.quantile(histogram, 0.95)) == (median, slow)
