"""The reader reads a history of any size completely, and reports a gap where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from django_feexpay import conf
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.client import Gateway
from django_feexpay.gateway.reports import HistoryPage
from django_feexpay.payments.admission import rate_budget
from django_feexpay.payments.reconciliation import history as history_reader
from django_feexpay.payments.reconciliation.history import Gap, Part, Reader
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fake_history import FakeHistory

pytestmark = pytest.mark.django_db  # the clock is the database's

FIRST = date(2026, 3, 1)
MTN, MOOV, WAVE_BF = (CATALOGUE[code] for code in ("mtn_bj", "moov_bj", "wave_bf"))


@pytest.fixture
def history(configure: Configure) -> Iterator[FakeHistory]:
    history = FakeHistory(ModelGateway())
    with conf.use_transport(history):
        yield history


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def read(days: int = 1, *, max_questions: int = 1000, reader: Reader | None = None) -> list[Part]:
    reader = reader or Reader(max_questions=max_questions)
    return list(reader.read(FIRST, FIRST + timedelta(days=days - 1)))


def references(parts: list[Part]) -> list[str]:
    return [str(row.report.reference) for part in parts for row in part.rows]


def gaps(parts: list[Part]) -> list[Gap]:
    return [part.gap for part in parts if part.gap]


def test_small_period_is_one_question(history: FakeHistory) -> None:
    history.add(day(0), 3)

    parts = read(31)

    assert len(references(parts)) == 3
    assert (history.requests, gaps(parts)) == ([("2026-03-01", "2026-03-31", "ALL", "ALL")], [])


def test_period_of_more_than_31_days_is_asked_in_several(history: FakeHistory) -> None:
    history.add(day(0)), history.add(day(31)), history.add(day(69))

    parts = read(70)

    assert len(references(parts)) == 3
    assert [(first, last) for first, last, *_ in history.requests] == [
        ("2026-03-01", "2026-03-31"),
        ("2026-04-01", "2026-05-01"),
        ("2026-05-02", "2026-05-09"),
    ]


def test_cut_period_is_split_into_days_oldest_first(history: FakeHistory) -> None:
    for number in range(4):
        history.add(day(number), 400)

    parts = read(4)

    assert len(set(references(parts))) == 1600
    assert gaps(parts) == []
    read_days = [part.slice.start for part in parts]
    assert read_days == sorted(read_days)


@pytest.mark.parametrize("total_counts_all", [True, False])
def test_cut_day_is_split_by_status_pending_first(history: FakeHistory, total_counts_all: bool) -> None:
    history.total_counts_all = total_counts_all
    history.add(day(0), 300)
    history.add(day(0), 300, status="FAILED")

    parts = read()

    assert len(set(references(parts))) == 600
    assert [status for *_, status, _ in history.requests] == ["ALL", "PENDING", "FAILED", "SUCCESSFUL"]
    assert gaps(parts) == []


def test_cut_status_is_split_by_provider(history: FakeHistory) -> None:
    history.add(day(0), 400)
    history.add(day(0), 400, reseau="MOOV")

    parts = read()

    assert len(set(references(parts))) == 800
    assert gaps(parts) == []


def test_exactly_500_rows_may_have_been_cut(history: FakeHistory) -> None:
    history.add(day(0), 500)
    history.total_counts_all = False

    parts = read()

    assert len(set(references(parts))) == 500
    assert len(history.requests) > 1


def test_row_of_a_provider_without_a_filter_is_a_gap_for_such_providers_only(history: FakeHistory) -> None:
    history.add(day(0), 400)
    history.add(day(0), 200, reseau="MOOV")
    history.add(day(0), 1, reseau="WAVE BF")

    parts = read()

    assert len(set(references(parts))) == 600
    [gap] = [part for part in parts if part.gap]
    assert gap.gap is Gap.UNCOUNTED
    assert [gap.slice.concerns(spec) for spec in (WAVE_BF, MTN, MOOV)] == [True, False, False]


def test_total_of_the_shown_rows_proves_nothing_about_others(history: FakeHistory) -> None:
    history.total_counts_all = False
    history.add(day(0), 400)
    history.add(day(0), 200, reseau="MOOV")

    parts = read()

    assert len(set(references(parts))) == 600
    [gap] = [part for part in parts if part.gap]
    assert (gap.gap, gap.slice.concerns(WAVE_BF), gap.slice.concerns(MTN)) == (Gap.UNCOUNTED, True, False)


def test_statuses_without_a_filter_are_found_provider_by_provider(history: FakeHistory) -> None:
    history.add(day(0), 400)
    history.add(day(0), 50, status="REVERSED")
    history.add(day(0), 80, status="REFUNDED", reseau="MOOV")

    parts = read()

    assert len(set(references(parts))) == 530
    assert gaps(parts) == []


def test_row_whose_status_and_provider_have_no_filter_is_a_gap_for_such_providers_only(history: FakeHistory) -> None:
    history.add(day(0), 480)
    history.add(day(0), 30, reseau="MOOV")
    history.add(day(0), 3, status="REVERSED")
    history.add(day(0), 1, status="REVERSED", reseau="WAVE BF")

    [gap] = [part for part in read() if part.gap]

    assert [gap.slice.concerns(spec) for spec in (WAVE_BF, MTN, MOOV)] == [True, False, False]


def test_status_without_a_filter_is_a_gap_when_one_provider_is_asked_for(history: FakeHistory) -> None:
    history.add(day(0), 400, reseau="MOOV")
    history.add(day(0), 101, reseau="MOOV", status="REVERSED")

    parts = list(Reader(max_questions=99).read(FIRST, FIRST, provider=MOOV))

    [gap] = [part for part in parts if part.gap]
    assert (gap.gap, gap.slice.concerns(MOOV), gap.slice.concerns(MTN)) == (Gap.UNCOUNTED, True, False)


def test_unsplittable_answer_is_a_gap_and_its_rows_are_kept(history: FakeHistory) -> None:
    history.add(day(0), 700)

    parts = read()

    assert len(references(parts)) == 500
    assert gaps(parts) == [Gap.CUT]


def test_unreadable_row_is_a_gap_and_is_not_asked_for_again(history: FakeHistory) -> None:
    history.add(day(0))
    history.rows.append({"date": day(0), "reseau": "MTN"})

    parts = read()

    assert (len(references(parts)), gaps(parts), len(history.requests)) == (1, [Gap.UNREADABLE], 1)


def test_unanswered_question_is_a_gap_and_the_next_is_still_asked(history: FakeHistory) -> None:
    history.fails_after = 1

    parts = read(62)

    assert gaps(parts) == [Gap.UNANSWERED]


def test_after_three_unanswered_questions_reading_stops(history: FakeHistory) -> None:
    history.fails_after = 0

    parts = read(200)

    assert gaps(parts) == [Gap.UNANSWERED] * 3 + [Gap.NOT_ASKED] * 4
    assert len(history.requests) == 3


def test_question_limit_leaves_a_gap(history: FakeHistory) -> None:
    history.add(day(0), 700)

    parts = read(max_questions=3)

    assert len(history.requests) == 3
    assert Gap.NOT_ASKED in gaps(parts)


def test_reading_ends_when_stop_returns_true(history: FakeHistory) -> None:
    reader = Reader(max_questions=10, stop=lambda: len(history.requests) >= 1)

    assert gaps(read(62, reader=reader)) == [Gap.NOT_ASKED]


def test_known_provider_is_filtered(history: FakeHistory) -> None:
    list(Reader(max_questions=9).read(FIRST, FIRST, provider=MOOV))
    list(Reader(max_questions=9).read(FIRST, FIRST, provider=WAVE_BF))

    assert [provider for *_, provider in history.requests] == ["MOOV", "ALL"]


def test_reader_waits_while_the_rate_budget_is_spent(history: FakeHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = iter([2, 1, 0])
    slept: list[float] = []
    monkeypatch.setattr(rate_budget, "wait_seconds", lambda share: next(waits))
    monkeypatch.setattr(history_reader.time, "sleep", slept.append)

    parts = read(reader=Reader(max_questions=5, waits_seconds=3))

    assert (slept, gaps(parts), len(history.requests)) == ([2, 1], [], 1)


def test_reader_without_waiting_time_leaves_a_gap(history: FakeHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_budget, "wait_seconds", lambda share: 1)

    assert gaps(read(reader=Reader(max_questions=5))) == [Gap.NOT_ASKED]
    assert history.requests == []


def test_interactive_reading_ends_within_its_timeout(history: FakeHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number of questions, and however late the last one starts."""
    now, asked = [100.0], []

    def answer_late(*args: Any, total_seconds: float, **more: Any) -> HistoryPage:
        asked.append(now[0] + total_seconds)
        now[0] += 0.4
        return HistoryPage(rows=(), total=9, complete=False, cut=True)

    monkeypatch.setattr(history_reader, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Gateway, "search_history", answer_late)

    read(reader=Reader(max_questions=14, timeout_seconds=1.0, longest_question_seconds=1.0))

    assert len(asked) == 3
    assert max(asked) == pytest.approx(101.0)
