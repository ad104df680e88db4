"""The throttle: exactly 100 requests in any minute, per user and across processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from tests.api.caller import Caller, assert_problem, new_token, row_counts
from tests.api.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock
from tests.sandbox.running import ROOT

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


def files_in(folder: Path) -> dict[str, Any]:
    return {
        "default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(folder / "cache")}
    }


def in_the_database() -> dict[str, Any]:
    return {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache_of_throttles"}}


@pytest.fixture
def database_cache(settings: Any) -> Iterator[None]:
    settings.CACHES = in_the_database()
    call_command("createcachetable")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE cache_of_throttles")


@pytest.fixture(params=["local", "redis", "files", "database"])
def a_cache(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    """An empty cache of each kind."""
    if request.param == "database":
        request.getfixturevalue("database_cache")
    elif request.param == "files":
        settings.CACHES = files_in(tmp_path)
    else:
        settings.CACHES = local() if request.param == "local" else redis_at(request.getfixturevalue("redis_url"))


@pytest.fixture
def no_cache(settings: Any) -> None:
    """A Redis that is unreachable."""
    settings.CACHES = redis_at("redis://127.0.0.1:9/0")


@pytest.mark.postgres_only
def test_of_800_parallel_requests_exactly_the_limit_pass(player: User, configure: Configure, a_cache: None) -> None:
    configure(RATE_LIMIT="100/min")
    callers = [Caller(player) for _ in range(16)]  # each with its own token
    together = threading.Barrier(16)

    def read_fifty(number: int) -> Counter[int]:
        together.wait()
        answers = [
            callers[number].get("history/", {"X-Forwarded-For": f"10.0.{number}.{turn}"}).status_code
            for turn in range(50)
        ]
        connection.close()
        return Counter(answers)

    with ThreadPoolExecutor(16) as threads:
        total = sum(threads.map(read_fifty, range(16)), Counter())

    assert total == {200: 100, 429: 700}


@pytest.mark.postgres_only
@pytest.mark.parametrize("kind", ["redis", "database"])
def test_of_800_requests_to_four_processes_exactly_the_limit_pass(
    player: User, settings: Any, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind == "redis":
        settings.CACHES = redis_at(request.getfixturevalue("redis_url"))
    else:
        request.getfixturevalue("database_cache")
    caches = json.dumps(django_settings.CACHES)
    name = connection.settings_dict["NAME"]
    url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
    environment = os.environ | {"DATABASE_URL": url, "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project"}

    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.api.history_reader", caches, *(new_token(player) for _ in range(4))],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]

    counts = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert sum(map(Counter, counts), Counter()) == {"200": 100, "429": 700}


def test_throttled_request_gets_retry_after(caller: Caller, configure: Configure, a_cache: None) -> None:
    configure(RATE_LIMIT="2/hour")
    for _ in range(2):
        assert caller.get("history/").status_code == 200

    response = caller.get("history/")

    assert_problem(response, 429, "throttled")
    assert 3590 <= int(response.headers["Retry-After"]) <= 3960
    assert f"try again in {response.headers['Retry-After']} s" in response.json()["detail"]


def test_calls_share_one_limit(caller: Caller, configure: Configure, gateway: ModelGateway) -> None:
    configure(RATE_LIMIT="3/min")
    payment_id = caller.initiate().json()["id"]
    caller.get(f"{payment_id}/status/")
    caller.get("providers/")
    before = row_counts()

    assert_problem(caller.initiate(merchant_reference="next"), 429, "throttled")
    assert (row_counts(), len(gateway.charges)) == (before, 1)


def test_users_have_separate_limits(caller: Caller, configure: Configure) -> None:
    configure(RATE_LIMIT="1/min")
    other = Caller(User.objects.create_user("kofi"))
    caller.get("history/")

    assert [caller.get("history/").status_code, other.get("history/").status_code] == [429, 200]


def test_window_slides_without_an_edge(caller: Caller, configure: Configure, clock: Clock, a_cache: None) -> None:
    """A fixed window of 100 let 199 requests pass within two seconds around its edge."""
    configure(RATE_LIMIT="10/min")
    passed: list[float] = []
    for second in range(0, 200, 2):
        asked = 10 if second in (58, 60, 118, 120) else 1
        for _ in range(asked):
            if caller.get("history/").status_code == 200:
                passed.append(second)
        clock.advance(2)

    assert max(sum(at - 60 < other <= at for other in passed) for at in passed) == 10
    assert len(passed) >= 30  # a client that keeps trying is admitted again


def test_request_passes_at_retry_after_and_not_a_second_before(
    caller: Caller, configure: Configure, clock: Clock, a_cache: None
) -> None:
    configure(RATE_LIMIT="2/min")
    caller.get("history/")
    clock.advance(20)
    caller.get("history/")
    clock.advance(20)

    wait = int(caller.get("history/").headers["Retry-After"])
    clock.advance(wait - 7)  # the window counts up to a tenth of a minute too long
    assert caller.get("history/").status_code == 429
    clock.advance(7)

    assert [caller.get("history/").status_code for _ in range(2)] == [200, 429]


def test_reads_pass_without_the_cache(caller: Caller, configure: Configure, no_cache: None) -> None:
    configure(RATE_LIMIT="1/min")

    assert [caller.get(path).status_code for path in ("history/", "history/", "providers/", "health/")] == [200] * 4


def test_nothing_is_started_without_the_cache(caller: Caller, no_cache: None) -> None:
    before = row_counts()

    response = caller.initiate()

    assert_problem(response, 503, "gateway_unavailable")
    assert response.headers["Retry-After"] == "5"
    assert row_counts() == before
