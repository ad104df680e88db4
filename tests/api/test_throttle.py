"""The throttle: exactly as many requests in any minute or hour as allowed, per user and across processes."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from tests import limited_site
from tests.api.caller import BASE, Caller, assert_problem, new_token, row_counts
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock

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
def test_of_800_parallel_requests_exactly_the_limit_pass(
    player: User, configure: Configure, a_cache: None, clock: Clock
) -> None:
    """All within one minute, however long the machine takes."""
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
    """Of a user and, in the same run, of a caller without a token. Each request names another X-Forwarded-For.

    The limit is one of an hour, because a busy machine may need more than a minute.
    """
    if kind == "redis":
        settings.CACHES = redis_at(request.getfixturevalue("redis_url"))
    else:
        request.getfixturevalue("database_cache")
    tokens = [new_token(player) for _ in range(16)]
    together = threading.Barrier(16)

    with limited_site.gunicorn(
        workers=4, threads=4, caches=dict(django_settings.CACHES), RATE_LIMIT="100/hour", NUM_PROXIES=1
    ) as address:

        def read_fifty(number: int) -> Counter[tuple[str, int]]:
            counts: Counter[tuple[str, int]] = Counter()
            callers = {"history/": f"Authorization: Bearer {tokens[number]}", "health/": "X-Nothing: 1"}
            with socket.create_connection(address, timeout=60) as client:
                together.wait()
                for turn in range(50):
                    for path, header in callers.items():
                        forged = f"X-Forwarded-For: 10.{number}.{turn}.1, 192.0.2.1"
                        lines = (f"GET {BASE}{path} HTTP/1.1", "Host: localhost", header, forged, "", "")
                        client.sendall("\r\n".join(lines).encode())
                        counts[path, limited_site.answer(client)[0]] += 1
            return counts

        with ThreadPoolExecutor(16) as threads:
            total = sum(threads.map(read_fifty, range(16)), Counter())

    assert total == {
        (path, code): count for path in ("history/", "health/") for code, count in ((200, 100), (429, 700))
    }


def test_throttled_request_gets_retry_after(caller: Caller, configure: Configure, a_cache: None) -> None:
    configure(RATE_LIMIT="2/hour")
    for _ in range(2):
        assert caller.get("history/").status_code == 200

    response = caller.get("history/")

    assert_problem(response, 429, "throttled")
    assert 3590 <= int(response.headers["Retry-After"]) <= 3960
    assert f"try again in {response.headers['Retry-After']} s" in response.json()["detail"]


def test_scopes_are_counted_apart_and_the_fourth_start_of_three_writes_nothing(
    caller: Caller, configure: Configure, gateway: ModelGateway
) -> None:
    configure(RATE_LIMIT="2/min", RATE_LIMITS="initiate:3/min, status:1/min")
    payment_id = [caller.initiate(merchant_reference=str(number)).json()["id"] for number in range(3)][0]
    before = row_counts()

    assert_problem(caller.initiate(merchant_reference="next"), 429, "throttled")
    assert_problem(caller.post(f"retry/{payment_id}/"), 429, "throttled")
    assert (row_counts(), len(gateway.charges)) == (before, 3)
    paths = (f"{payment_id}/status/", "history/", "providers/", "history/", "quote/")
    assert [caller.get(path).status_code for path in paths] == [200, 200, 200, 429, 400]
    assert caller.get(f"{payment_id}/status/").status_code == 429
    assert [caller.post(f"{payment_id}/otp/", {"otp": "123456"}).status_code for _ in range(3)] == [409, 409, 429]


def test_answers_say_how_much_of_the_limit_is_left(caller: Caller, configure: Configure, clock: Clock) -> None:
    """By draft-ietf-httpapi-ratelimit-headers-10: `r` more requests now, and more than these in `t` seconds."""
    configure(RATE_LIMITS={"read": "2/min"})
    shown, left = [], []
    for seconds in (0, 20, 20):
        clock.advance(seconds)
        answer = caller.get("history/")
        assert answer.headers["RateLimit-Policy"] == '"read";q=2;w=60'
        remaining, _, renewed = answer.headers["RateLimit"].partition(";t=")
        shown.append(remaining)
        left.append(int(renewed))

    assert shown == ['"read";r=1', '"read";r=0', '"read";r=0']
    assert answer.headers["Retry-After"] == str(left[2])
    assert left[1] - 20 == left[2]
    assert 20 <= left[2] <= 26
    clock.advance(left[2])
    assert caller.get("history/").status_code == 200


def test_webhook_and_refused_sign_in_show_no_limit(caller: Caller, stranger: Caller) -> None:
    """The webhook must not tell a stranger which references are known."""
    assert "RateLimit" not in stranger.get("history/").headers
    assert "RateLimit" not in caller.post("webhook/", {"reference": "x"}).headers


@pytest.mark.parametrize(
    ("settings_", "first", "second", "same"),
    [
        ({}, {}, {"X-Forwarded-For": "10.0.0.1"}, True),
        ({}, {"X-Real-IP": "10.0.0.1"}, {"X-Real-IP": "10.0.0.2"}, True),
        ({"NUM_PROXIES": 1}, {"X-Forwarded-For": "10.0.0.1"}, {"X-Forwarded-For": "10.0.0.2"}, False),
        ({"NUM_PROXIES": 1}, {"X-Forwarded-For": "1.1.1.1, 10.0.0.1"}, {"X-Forwarded-For": "2.2.2.2,10.0.0.1"}, True),
        (
            {"NUM_PROXIES": 2},
            {"X-Forwarded-For": "10.0.0.1, 10.9.9.9"},
            {"X-Forwarded-For": "10.0.0.2,10.9.9.9"},
            False,
        ),
        ({"NUM_PROXIES": 2}, {"X-Forwarded-For": "10.0.0.1"}, {"X-Forwarded-For": "10.0.0.2"}, True),
        ({"NUM_PROXIES": 1}, {"X-Forwarded-For": "nonsense"}, {"X-Forwarded-For": "<script>"}, True),
        ({"NUM_PROXIES": 1}, {"X-Forwarded-For": "2001:db8::1"}, {"X-Forwarded-For": "2001:db8::2:1"}, True),
        ({"NUM_PROXIES": 1}, {"X-Forwarded-For": "2001:db8::1"}, {"X-Forwarded-For": "2001:db8:0:1::1"}, False),
        ({"NUM_PROXIES": 1}, {"X-Forwarded-For": "10.0.0.1"}, {"X-Forwarded-For": "::ffff:10.0.0.1"}, True),
        ({"CLIENT_ADDRESS_HEADER": "X-Real-IP"}, {"X-Real-IP": "10.0.0.1"}, {"X-Real-IP": "10.0.0.2"}, False),
        ({"CLIENT_ADDRESS_HEADER": "X-Real-IP"}, {"X-Forwarded-For": "1.1.1.1"}, {"X-Forwarded-For": "2.2.2.2"}, True),
    ],
)
def test_callers_without_a_token_are_counted_by_the_address_that_our_proxy_saw(
    stranger: Caller,
    configure: Configure,
    settings_: dict[str, Any],
    first: dict[str, str],
    second: dict[str, str],
    same: bool,
) -> None:
    configure(RATE_LIMITS={"anonymous": "1/min"}, **settings_)

    assert stranger.get("health/", first).status_code == 200
    answer = stranger.get("health/", second)

    assert answer.status_code == (429 if same else 200)
    assert answer.headers["RateLimit-Policy"] == '"anonymous";q=1;w=60'


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

    assert_problem(response, 503, "rate_unavailable")
    assert response.headers["Retry-After"] == "5"
    assert row_counts() == before
