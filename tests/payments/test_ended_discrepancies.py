"""A discrepancy ends when a comparison of its own day finds it resolved, or when a person closes it. A comparison of
another day ends nothing. The counts of a comparison match its findings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from django_feexpay import failpoints
from django_feexpay.models import Comparison, Discrepancy, Finding
from django_feexpay.monitoring import health
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import discrepancies, nightly
from django_feexpay.payments.reconciliation import run as comparison_run
from tests.payments.comparing import settled, write
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock
from tests.payments.test_nightly import TUESDAY, go_to_weekday, run_next

pytestmark = pytest.mark.django_db

Run = Callable[..., Comparison]
DAY = timedelta(days=1)


@pytest.fixture
def day(clock: Clock, history: FakeHistory) -> date:
    """The Tuesday on which the test sends its payments."""
    go_to_weekday(clock, TUESDAY)
    return clock.at.date()


@pytest.fixture
def money_at_stake(begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date) -> None:
    """A discrepancy with money at stake: the history has another amount than the credit. A poll does not end it."""
    settled(begin, gateway)
    write(history, gateway.last(), day, amount=4999)


@pytest.fixture
def run(clock: Clock) -> Run:
    def through(first: date, last: date | None = None, **options: Any) -> Comparison:
        comparison = comparison_run.begin(first, first if last is None else last)
        return comparison_run.compare(comparison, source=Source.COMMAND, **options)

    return through


def state() -> str:
    return Discrepancy.objects.get().state


@pytest.mark.parametrize("count", [2, 4, 8])
def test_money_at_stake_survives_later_nightly_comparisons(money_at_stake: None, clock: Clock, count: int) -> None:
    clock.at = clock.at.replace(hour=3) + DAY

    for _ in range(count):
        assert run_next() is not None
        clock.advance(86_400)

    assert (state(), Comparison.objects.count()) == ("open", count)
    assert health.check().components["comparison"] == "money_at_stake"
    assert list(violations()) == []


@pytest.mark.parametrize(("first", "last"), [(-3, -3), (-2, -1), (-1, -1), (1, 1), (1, 2), (2, 2)])
def test_comparison_of_other_days_does_not_end_a_discrepancy(
    money_at_stake: None, history: FakeHistory, day: date, run: Run, clock: Clock, first: int, last: int
) -> None:
    clock.advance(5 * 86_400)
    run(day)
    history.rows[0]["amount"] = 5000

    run(day + first * DAY, day + last * DAY)

    assert state() == "open"


@pytest.mark.parametrize(("first", "last"), [(0, 0), (-1, 0), (0, 1), (-3, 3)])
def test_comparison_of_its_day_ends_a_resolved_discrepancy(
    money_at_stake: None, history: FakeHistory, day: date, run: Run, clock: Clock, first: int, last: int
) -> None:
    clock.advance(5 * 86_400)
    run(day)
    history.rows[0]["amount"] = 5000

    ended_by = run(day + first * DAY, day + last * DAY)

    assert state() == "gone"
    assert Discrepancy.objects.get().ended_by == ended_by
    assert list(violations()) == []


def test_closed_discrepancy_that_comes_back_after_it_had_gone_is_open(
    money_at_stake: None, history: FakeHistory, day: date, run: Run, clock: Clock
) -> None:
    clock.advance(3 * 86_400)
    run(day)
    discrepancies.close(Discrepancy.objects.get().pk, "FeexPay corrects it")
    assert (run(day).found_count, state()) == (0, "closed")
    history.rows[0]["amount"] = 5000
    run(day)
    assert (state(), Discrepancy.objects.get().note) == ("gone", "FeexPay corrects it")

    history.rows[0]["amount"] = 4999

    assert (run(day).at_stake_count, state()) == (1, "open")
    assert list(violations()) == []


def test_discrepancy_that_staff_close_while_feexpay_is_asked_stays_closed(
    money_at_stake: None, day: date, run: Run, clock: Clock
) -> None:
    clock.advance(3 * 86_400)
    run(day)
    row = Discrepancy.objects.get()

    with failpoints.arm("asked", lambda: discrepancies.close(row.pk, "the fee, agreed")):
        comparison = run(day)

    row.refresh_from_db()
    assert (row.state, row.note, comparison.open_count) == ("closed", "the fee, agreed", 0)
    assert list(violations()) == []


def test_gap_in_the_history_ends_no_discrepancy(
    money_at_stake: None, history: FakeHistory, day: date, run: Run, clock: Clock
) -> None:
    clock.advance(3 * 86_400)
    run(day)
    history.rows[0]["amount"] = 5000
    history.add((day + DAY).isoformat(), 501, reseau="MTN")

    assert run(day).state == "incomplete"
    assert state() == "open"


def test_refused_card_on_the_next_day_ends_no_discrepancy(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, run: Run, clock: Clock
) -> None:
    """A page has two rows in two answers, and only one of them has the other amount."""
    begin(provider="visa", phone="")
    paid, refused = gateway.pay_on_page(), gateway.pay_on_page()
    paid.approve()
    refused.decline()
    gateway.charges.remove(refused)
    settled_page = {"reseau": "VISA", "type": "FEEX_LINK"}
    history.rows.append({**paid.row(), **settled_page, "date": f"{day}T10:00:00Z", "amount": 4999})
    history.rows.append({**refused.row(), **settled_page, "date": f"{day + DAY}T10:00:00Z"})
    history.most_rows = 1
    clock.advance(3 * 86_400)

    run(day)

    assert Discrepancy.objects.filter(kind="amount", state="open").exists()


def test_stopped_comparison_ends_no_discrepancy(
    money_at_stake: None, history: FakeHistory, day: date, run: Run, clock: Clock
) -> None:
    clock.advance(3 * 86_400)
    run(day)
    history.rows[0]["amount"] = 5000
    history.requests.clear()

    assert run(day, stop=lambda: bool(history.requests)).state == "stopped"
    assert state() == "open"


def test_gone_discrepancy_opens_again_when_found_again(
    money_at_stake: None, history: FakeHistory, day: date, run: Run, clock: Clock
) -> None:
    clock.advance(3 * 86_400)
    run(day)
    history.rows[0]["amount"] = 5000
    run(day)
    history.rows[0]["amount"] = 4999

    run(day)

    row = Discrepancy.objects.get()
    assert (row.state, row.ended_at, row.ended_by) == ("open", None, None)


# --- counts and rows ----------------------------------------------------------------------------


def counts(comparison: Comparison) -> tuple[int, int, int, int]:
    comparison.refresh_from_db()
    return comparison.found_count, comparison.settled_count, comparison.open_count, comparison.at_stake_count


def rows(comparison: Comparison) -> tuple[int, int, int, int]:
    found = Finding.objects.filter(comparison=comparison)
    left = found.filter(is_open=True)
    return found.count(), found.filter(is_open=False).count(), left.count(), left.filter(money_at_stake=True).count()


@pytest.fixture
def three_discrepancies(
    money_at_stake: None, begin: Begin, gateway: ModelGateway, history: FakeHistory, day: date, clock: Clock
) -> None:
    """Money at stake, and a success and a failure that only FeexPay knows: a status poll settles these two."""
    begin(merchant_reference="to be settled")
    gateway.last().approve()
    write(history, gateway.last(), day)
    begin(merchant_reference="failed")
    gateway.last().decline()
    write(history, gateway.last(), day)
    clock.advance(3 * 86_400)


def test_counts_match_the_findings(three_discrepancies: None, day: date, run: Run) -> None:
    comparison = run(day)

    assert counts(comparison) == rows(comparison) == (3, 2, 1, 1)


def test_counts_match_the_findings_after_a_report_only_run_and_a_second_run(
    three_discrepancies: None, day: date, run: Run
) -> None:
    reported = run(day, repair=False)
    repaired = run(day)
    again = run(day)

    assert counts(reported) == rows(reported) == (3, 0, 3, 2)
    assert counts(repaired) == rows(repaired) == (3, 2, 1, 1)
    assert counts(again) == rows(again) == (1, 0, 1, 1)


def test_counts_stay_when_discrepancies_end_later(three_discrepancies: None, day: date, run: Run) -> None:
    first = run(day, repair=False)
    discrepancies.close(Discrepancy.objects.get(kind="amount").pk, "their typing mistake")

    second = run(day)

    assert counts(first) == rows(first) == (3, 0, 3, 2)
    assert counts(second) == rows(second) == (2, 2, 0, 0)


def test_restarted_nightly_comparison_resets_its_counts(
    money_at_stake: None, history: FakeHistory, clock: Clock, day: date
) -> None:
    clock.at = clock.at.replace(hour=3) + DAY
    stopped = nightly.run_nightly(source=Source.WORKER, stop=lambda: Finding.objects.exists())
    assert stopped is not None
    assert (stopped.state, counts(stopped)) == ("stopped", (1, 0, 1, 1))
    history.rows[0]["amount"] = 5000

    again = run_next()

    assert again is not None
    assert (again.pk, again.state) == (stopped.pk, "complete")
    assert counts(again) == rows(again) == (0, 0, 0, 0)
    assert state() == "gone"
