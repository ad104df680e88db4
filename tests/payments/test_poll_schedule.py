"""When an attempt is polled next: often until its expiry, rarely afterwards."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.payments.poll_schedule import next_poll_time

CREATED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EXPIRES = CREATED + timedelta(minutes=15)
POLL_SECONDS = (5, 10, 15, 30, 60)


class FixedShare(random.Random):
    """Returns the same share of each range, from 0 (shortest) to 1 (longest)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.share


def wait(
    status: Status,
    *,
    age: float = 0,
    polls: int = 0,
    settled_ago: float | None = None,
    share: float = 1,
    expires: datetime = EXPIRES,
) -> float | None:
    """Seconds until the next poll, `age` seconds after the attempt was created; None: never."""
    now = CREATED + timedelta(seconds=age)
    at = next_poll_time(
        status,
        now=now,
        created_at=CREATED,
        expires_at=expires,
        polls=polls,
        settled_at=None if settled_ago is None else now - timedelta(seconds=settled_ago),
        poll_seconds=POLL_SECONDS,
        random_source=FixedShare(share),
    )
    return None if at is None else (at - now).total_seconds()


@pytest.mark.parametrize(("polls", "seconds"), [(0, 5), (1, 10), (2, 15), (3, 30), (4, 60)])
def test_first_polls_follow_the_hosts_list_exactly(polls: int, seconds: int) -> None:
    assert wait(Status.PENDING, polls=polls, share=0) == seconds


@pytest.mark.parametrize(
    ("polls", "shortest", "longest"), [(5, 96, 120), (6, 192, 240), (7, 240, 300), (8, 240, 300), (500, 240, 300)]
)
def test_later_waits_double_up_to_five_minutes_and_are_shortened_by_a_fifth_at_most(
    polls: int, shortest: int, longest: int
) -> None:
    assert wait(Status.PENDING, polls=polls, share=0) == shortest
    assert wait(Status.PENDING, polls=polls, share=1) == longest


def test_attempt_is_polled_at_its_expiry() -> None:
    assert wait(Status.PENDING, age=890, polls=4) == 10
    assert wait(Status.UNKNOWN, age=890, polls=4) == 10


def test_distant_expiry_does_not_change_the_first_polls() -> None:
    assert wait(Status.PENDING, polls=1, expires=CREATED + timedelta(days=1)) == 10


@pytest.mark.parametrize("status", [Status.PENDING, Status.UNKNOWN, Status.EXPIRED, Status.REVIEW, Status.CREATED])
@pytest.mark.parametrize(
    ("age", "seconds"),
    [(900, 300), (1800, 300), (1801, 900), (86_400, 900), (108_001, 86_400), (6 * 86_400, 86_400), (604_800, 86_400)],
)
def test_interval_grows_with_age(status: Status, age: int, seconds: int) -> None:
    assert wait(status, age=age, polls=5, share=1) == seconds
    assert wait(status, age=age, polls=5, share=0) == pytest.approx(seconds * 0.8)


@pytest.mark.parametrize("status", sorted(LIVE))
@pytest.mark.parametrize(("polls", "seconds"), [(0, 5), (4, 60)])
def test_live_attempt_after_its_expiry_is_polled_by_the_list_first(status: Status, polls: int, seconds: int) -> None:
    assert wait(status, age=901, polls=polls) == seconds


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.REVIEW])
@pytest.mark.parametrize(("days", "days_between"), [(7, 1), (14, 2), (49, 7), (365, 52), (3650, 521)])
def test_undecided_attempt_is_polled_without_end_but_less_and_less_often(
    status: Status, days: int, days_between: int
) -> None:
    seconds = wait(status, age=days * 86_400 + 1, polls=5, share=1)

    assert seconds is not None
    assert round(seconds / 86_400) == days_between
    assert wait(status, age=days * 86_400 + 1, polls=5, share=0) == pytest.approx(seconds * 0.8)


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.REVIEW])
def test_undecided_attempt_is_polled_less_than_forty_times_a_year(status: Status) -> None:
    age, polls = 604_800.0, 0
    while age < 365 * 86_400:
        age += wait(status, age=age, polls=100, share=0) or 0
        polls += 1

    assert polls < 40


@pytest.mark.parametrize("status", sorted(LIVE))
def test_live_attempt_is_polled_daily_after_a_month(status: Status) -> None:
    assert wait(status, age=30 * 86_400, polls=5) == 86_400


@pytest.mark.parametrize(
    ("settled_ago", "seconds"),
    [(0, 60), (59, 1), (60, 540), (600, 3000), (3600, 82_800), (86_399, 1), (86_400, None), (400_000, None)],
)
def test_failure_is_polled_after_a_minute_ten_minutes_an_hour_and_a_day(settled_ago: int, seconds: int | None) -> None:
    assert wait(Status.FAILED, age=100, settled_ago=settled_ago) == seconds


def test_new_failure_is_polled_in_a_minute() -> None:
    assert wait(Status.FAILED, settled_ago=None) == 60


@pytest.mark.parametrize("status", [Status.SUCCESSFUL, Status.REJECTED])
def test_credited_and_rejected_attempts_are_never_polled(status: Status) -> None:
    assert wait(status) is None
    assert wait(status, age=5000, settled_ago=10) is None


@given(
    status=st.sampled_from([status for status in Status if status not in (Status.SUCCESSFUL, Status.REJECTED)]),
    age=st.integers(0, 604_800),
    polls=st.integers(0, 10_000),
    share=st.floats(0, 1),
)
def test_every_unsettled_attempt_is_polled_within_a_day(status: Status, age: int, polls: int, share: float) -> None:
    seconds = wait(status, age=age, polls=polls, share=share)

    assert seconds is not None
    assert 0 < seconds <= 86_400


def test_failure_dated_next_year_is_polled_in_a_minute() -> None:
    """The failure time was written by a clock that ran ahead, so the polls are counted from now."""
    assert wait(Status.FAILED, age=120, settled_ago=-31_536_000) == 60
