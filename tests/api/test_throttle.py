"""100 requests a minute mean 100, for the user and not for the token, the address or the process."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection

from django_feexpay.api import throttles
from tests.api.caller import Caller, assert_problem, row_counts
from tests.api.conftest import Configure
from tests.payments.model_gateway import ModelGateway

pytestmark = pytest.mark.django_db(transaction=True)


def local() -> dict[str, Any]:
    return {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid4().hex}}


def redis_at(url: str) -> dict[str, Any]:
    return {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": url,
            "KEY_PREFIX": uuid4().hex,
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }


@pytest.fixture(params=["local", "redis"])
def a_cache(request: pytest.FixtureRequest, settings: Any) -> None:
    """An empty one of each kind."""
    settings.CACHES = local() if request.param == "local" else redis_at(request.getfixturevalue("redis_url"))


@pytest.fixture
def no_cache(settings: Any) -> None:
    """A Redis that is not there."""
    settings.CACHES = redis_at("redis://127.0.0.1:9/0")


@pytest.mark.postgres_only
def test_of_800_parallel_requests_exactly_the_limit_pass(player: User, configure: Configure, a_cache: None) -> None:
    configure(RATE_LIMIT="100/min")
    callers = [Caller(player) for _ in range(16)]  # a token each
    together = threading.Barrier(16)

    def hammer(number: int) -> Counter[int]:
        together.wait()
        answers = [
            callers[number].get("history/", {"X-Forwarded-For": f"10.0.{number}.{turn}"}).status_code
            for turn in range(50)
        ]
        connection.close()
        return Counter(answers)

    with ThreadPoolExecutor(16) as threads:
        total = sum(threads.map(hammer, range(16)), Counter())

    assert total == {200: 100, 429: 700}


def test_request_too_many_says_when_to_come_back(caller: Caller, configure: Configure, a_cache: None) -> None:
    configure(RATE_LIMIT="2/hour")
    for _ in range(2):
        assert caller.get("history/").status_code == 200

    response = caller.get("history/")

    assert_problem(response, 429, "throttled")
    assert 3590 <= int(response.headers["Retry-After"]) <= 3600
    assert f"try again in {response.headers['Retry-After']} s" in response.json()["detail"]


def test_calls_share_one_limit(caller: Caller, configure: Configure, gateway: ModelGateway) -> None:
    configure(RATE_LIMIT="3/min")
    payment_id = caller.initiate().json()["id"]
    caller.get(f"{payment_id}/status/")
    caller.get("providers/")
    before = row_counts()

    assert_problem(caller.initiate(merchant_reference="next"), 429, "throttled")
    assert (row_counts(), len(gateway.charges)) == (before, 1)


def test_one_user_takes_nothing_from_another(caller: Caller, configure: Configure) -> None:
    configure(RATE_LIMIT="1/min")
    other = Caller(User.objects.create_user("kofi"))
    caller.get("history/")

    assert [caller.get("history/").status_code, other.get("history/").status_code] == [429, 200]


def test_new_window_begins_when_the_old_one_ended(
    caller: Caller, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(RATE_LIMIT="1/s")
    at = 1_000.0
    monkeypatch.setattr(throttles.time, "time", lambda: at)
    assert [caller.get("history/").status_code for _ in range(2)] == [200, 429]

    at += 1.0

    assert [caller.get("history/").status_code for _ in range(2)] == [200, 429]


def test_readers_pass_without_the_cache(caller: Caller, configure: Configure, no_cache: None) -> None:
    configure(RATE_LIMIT="1/min")

    assert [caller.get(path).status_code for path in ("history/", "history/", "providers/", "health/")] == [200] * 4


def test_nothing_is_started_without_the_cache(caller: Caller, no_cache: None) -> None:
    before = row_counts()

    response = caller.initiate()

    assert_problem(response, 503, "gateway_unavailable")
    assert response.headers["Retry-After"] == "5"
    assert row_counts() == before
