"""The sliding-window rate limit, with each kind of store for its counts."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from hypothesis import given, settings
from hypothesis import strategies as st

from django_feexpay import conf, rate_limit
from django_feexpay.counters import Counters, cache_counts, counters
from django_feexpay.models import Counter
from tests.payments.fakes import Clock
from tests.payments.threads import at_once

LIMIT, SECONDS = 4, 60

#: Inherits BaseCache.incr, so its counts are in our table.
TABLE = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}


def local() -> dict[str, Any]:
    return {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid4().hex}}


@pytest.fixture(params=["cache", "table"])
def store(request: pytest.FixtureRequest, settings: Any, db: None) -> Counters:
    settings.CACHES = local() if request.param == "cache" else TABLE
    assert cache_counts() is (request.param == "cache")
    return counters()


@given(gaps=st.lists(st.sampled_from([0.0, 0.01, 0.5, 3.0, 5.99, 6.0, 14.0, 59.99, 60.0]), max_size=60))
@settings(max_examples=200)
def test_no_window_exceeds_the_limit_and_every_caller_is_admitted_in_the_end(gaps: list[float]) -> None:
    cache.clear()
    clock = Clock()
    passed: list[float] = []
    at = 0.0
    with conf.use_clock(clock):
        for gap in gaps:
            clock.advance(gap)
            at += gap
            if not rate_limit.wait_seconds("one", LIMIT, SECONDS):
                passed.append(at)
            elif sum(other > at - SECONDS * 1.1 - 1e-6 for other in passed) < LIMIT:
                pytest.fail(f"refused at {at}, passed were {passed}")
            assert sum(other > at - SECONDS + 1e-6 for other in passed) <= LIMIT


def test_caller_is_admitted_after_the_returned_wait(store: Counters, clock: Clock) -> None:
    for _ in range(LIMIT):
        assert rate_limit.wait_seconds("one", LIMIT, SECONDS) == 0
        clock.advance(7)

    wait = rate_limit.wait_seconds("one", LIMIT, SECONDS)
    assert wait > 0
    clock.advance(wait)

    assert rate_limit.wait_seconds("one", LIMIT, SECONDS) == 0
    assert rate_limit.wait_seconds("one", LIMIT, SECONDS) > 0


def test_refused_event_does_not_count(store: Counters, clock: Clock) -> None:
    passed = 0
    for _ in range(300):
        passed += rate_limit.wait_seconds("one", LIMIT, SECONDS) == 0
        clock.advance(1)

    assert 4 * LIMIT <= passed <= 5 * LIMIT


def test_lost_counter_admits_the_limit_once_more_and_nothing_beyond(store: Counters, clock: Clock) -> None:
    for _ in range(3):
        for _ in range(LIMIT):
            assert rate_limit.wait_seconds("one", LIMIT, SECONDS) == 0
        clock.advance(2 * SECONDS)
    store.forget(["feexpay:rate:one"])

    passed = [rate_limit.wait_seconds("one", LIMIT, SECONDS) == 0 for _ in range(20)]

    assert sum(passed) == LIMIT


def test_names_do_not_share_a_count(store: Counters, clock: Clock) -> None:
    assert [rate_limit.wait_seconds(name, 1, SECONDS) == 0 for name in ("one", "two", "one")] == [True, True, False]


def test_counts_expire(store: Counters, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: clock.at.timestamp())

    assert [store.increase("key", 10) for _ in range(3)] == [1, 2, 3]
    assert [store.set_first("flag", 7, 10), store.set_first("flag", 8, 10)] == [True, False]
    assert store.read(["key", "flag", "unknown"]) == {"key": 3, "flag": 7}
    clock.advance(6)
    store.keep("key", 10)
    store.keep("unknown", 10)
    clock.advance(6)
    assert store.read(["key", "flag", "unknown"]) == {"key": 3}
    assert store.set_first("flag", 9, 10)
    clock.advance(6)
    assert [store.increase("key", 10), store.read(["flag"])] == [1, {"flag": 9}]
    store.forget(["key", "flag"])
    assert store.read(["key", "flag"]) == {}


def test_expired_rows_are_deleted(db: None, settings: Any, clock: Clock) -> None:
    settings.CACHES = TABLE
    for number in range(5):
        counters().set_first(f"old-{number}", 1, 10)
    clock.advance(11)

    counters().set_first("new", 1, 10)

    assert list(Counter.objects.values_list("pk", flat=True)) == ["new"]


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_table_gives_each_caller_its_own_number(settings: Any) -> None:
    settings.CACHES = TABLE

    numbers = at_once(20, lambda number: [counters().increase("key", 60) for _ in range(10)])
    flags = at_once(20, lambda number: counters().set_first("flag", number, 60))

    assert sorted(one for many in numbers if isinstance(many, list) for one in many) == list(range(1, 201))
    assert flags.count(True) == 1
