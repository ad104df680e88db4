"""The cost of a request to each endpoint, relative to a minimal view for the same job."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection

from django_feexpay import conf
from django_feexpay.gateway.transport import WireReply, WireRequest
from tools.bench.measuring import Effort, Figure, at_most, count_of, interleave, ratio, statements
from tools.bench.rows import PLAYERS
from tools.bench.wsgi_site import Site

_SPARE = 4
_REPEATED = 20
_CALLER_COUNT = 4
#: Numbers above those of all payments; this many webhooks use up the limit of a minute.
_UNKNOWN = 10**9
_USED_UP = 310
_GATEWAY_SECONDS = 0.05
_MOST_ADDED_MS = 25


@dataclass(frozen=True, slots=True)
class Delivery:
    """A signed webhook request."""

    body: bytes
    headers: Mapping[str, str]


class AcceptingGateway:
    """A transport that accepts every request after `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    def exchange(self, request: WireRequest) -> WireReply:
        if self._seconds:
            time.sleep(self._seconds)
        body = {"reference": uuid4().hex, "status": "PENDING"}
        return WireReply(202, {"content-type": "application/json"}, json.dumps(body).encode())


def webhook(site: Site, effort: Effort) -> Iterator[Figure]:
    """A first delivery, a repeated delivery and one with a wrong signature."""
    first = (delivery(2 * number) for number in itertools.count(1))
    first_of_minimum = (delivery(2 * number) for number in itertools.count(1))
    known = [delivery(2 * (effort.calls + _SPARE + number)) for number in range(_REPEATED)]
    repeats = itertools.cycle(known)
    forged = Delivery(known[0].body, {"X-FeexPay-Signature": "0" * 64})

    def post(given: Delivery, path: str = "/feexpay/webhook/", expected: int = 200) -> None:
        site.call("POST", path, given.body, given.headers, expected)

    for given in known:
        post(given)
    works: dict[str, Callable[[], object]] = {
        "first": lambda: post(next(first)),
        "repeat": lambda: post(next(repeats)),
        "forged": lambda: post(forged, expected=401),
        "minimum": lambda: post(next(first_of_minimum), "/reference/webhook/"),
        "bare": lambda: post(forged, "/reference/bare/"),
    }
    times = interleave(works, effort)
    yield at_most("webhook, first delivery : minimum with the ORM", ratio(times["first"], times["minimum"]), 1.3)
    yield at_most("webhook, repeated : first delivery", ratio(times["repeat"], times["first"]), 1.0)
    yield at_most("webhook, forged : bare Django view", ratio(times["forged"], times["bare"]), 2.0)
    yield statements("webhook, first delivery", count_of(works["first"]), 3)
    yield statements("webhook, repeated", count_of(works["repeat"]))
    yield statements("webhook, forged", count_of(works["forged"]), 0)


def webhook_refusals(site: Site, effort: Effort) -> Iterator[Figure]:
    """Requests that are no webhook, and a signed webhook of an unknown reference that is dropped in a flood."""
    path, bare = "/feexpay/webhook/", "/reference/bare/"
    junk = delivery(1).body
    refused: dict[str, tuple[int, bytes, Mapping[str, str]]] = {
        "65 kB": (413, b" " * 65_537, {}),
        "compressed": (415, junk, {"Content-Encoding": "gzip"}),
        "another charset": (415, junk, {"Content-Type": "application/json; charset=latin-1"}),
        "chunked": (400, junk, {"Transfer-Encoding": "chunked", "Content-Length": ""}),
        "forged, 64 kB of brackets": (401, b"[" * 65_000, {"X-FeexPay-Signature": "0" * 64}),
    }

    def work(status: int, body: bytes, headers: Mapping[str, str]) -> Callable[[], object]:
        return lambda: site.call("POST", path, body, headers, status)

    works = {name: work(*given) for name, given in refused.items()}
    works["bare"] = lambda: site.call("POST", bare, junk)
    times = interleave(works, effort)
    for name in refused:
        yield at_most(f"webhook, refused: {name} : bare Django view", ratio(times[name], times["bare"]), 2.0)
        yield statements(f"webhook, refused: {name}", count_of(works[name]), 0)

    unknown = (delivery(_UNKNOWN + number) for number in itertools.count())

    def flood() -> None:
        given = next(unknown)
        site.call("POST", path, given.body, given.headers)

    for _ in range(_USED_UP):
        flood()
    works = {"dropped": flood, "bare": works["bare"]}
    times = interleave(works, effort)
    value = ratio(times["dropped"], times["bare"])
    yield Figure("webhook, dropped in a flood : bare Django view", str(value))
    yield statements("webhook, dropped in a flood", count_of(flood), 1)


def status(site: Site, effort: Effort) -> Iterator[Figure]:
    """The status of a payment that is not due."""
    rows = range(effort.small_rows, effort.small_rows - 10 * _REPEATED, -10)
    ids = itertools.cycle([payment_id(number) for number in rows])
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: site.call("GET", f"/feexpay/{next(ids)}/status/"),
        "plain": lambda: site.call("GET", f"/reference/{next(ids)}/status/"),
    }
    times = interleave(works, effort)
    yield at_most("status, not due : plain view, same SELECT", ratio(times["ours"], times["plain"]), 1.6)
    yield statements("status, not due (besides authentication)", count_of(works["ours"]), 1)


def lists(site: Site, effort: Effort) -> Iterator[Figure]:
    """A full page of history, and the cached list of providers. The warm-up calls fill the cache."""
    works: dict[str, Callable[[], object]] = {
        "history": lambda: site.call("GET", "/feexpay/history/?page_size=100"),
        "serializer": lambda: site.call("GET", "/reference/history/"),
        "providers": lambda: site.call("GET", "/feexpay/providers/"),
        "empty": lambda: site.call("GET", "/reference/empty/"),
    }
    times = interleave(works, effort, block=max(1, effort.block // 4))
    yield at_most("history, 100 rows : ModelSerializer", ratio(times["history"], times["serializer"]), 0.5)
    yield statements("history, 100 rows", count_of(works["history"]), 1)
    yield at_most("providers, from the cache : empty DRF view", ratio(times["providers"], times["empty"]), 1.2)
    yield statements("providers, from the cache", count_of(works["providers"]), 0)


def initiate(site: Site, effort: Effort) -> Iterator[Figure]:
    """The CPU time of a start, and the time a start adds to the answer time of a gateway."""
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: start(site, "player"),
        "reference": lambda: start(site, "player", "/reference/initiate/"),
    }
    with conf.use_transport(AcceptingGateway()):
        times = interleave(works, effort, block=max(1, effort.block // 2))
        count = count_of(works["ours"])
    yield at_most("initiate, own CPU : INSERT + UPDATE view", ratio(times["ours"], times["reference"]), 1.5)
    yield statements("initiate", count, 8)
    with conf.use_transport(AcceptingGateway(_GATEWAY_SECONDS)):
        added = _added_milliseconds(site, effort)
    p99 = statistics.quantiles(added, n=100)[98]
    value = f"p50 {statistics.median(added):.1f} ms, p99 {p99:.1f} ms"
    name = f"initiate, added to a gateway of 50 ms, {_CALLER_COUNT} at once"
    yield Figure(name, value, f"p99 ≤ {_MOST_ADDED_MS} ms", p99 <= _MOST_ADDED_MS)


def delivery(number: int) -> Delivery:
    """A webhook that reports the payment of row `number` as successful."""
    body = json.dumps(
        {
            "type": "payment",
            "reference": f"ref-{number}",
            "order_id": f"ref-{number}",
            "status": "SUCCESSFUL",
            "amount": 5000,
            "description": "500 coins",
            "first_name": "Ama",
            "last_name": "Doe",
            "email": "ama@example.com",
            "date": "2026-11-23T12:00:00Z",
        }
    ).encode()
    signature = hmac.new(settings.WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return Delivery(body, {"X-FeexPay-Signature": signature})


def payment_id(number: int) -> UUID:
    """The payment id that rows.py gives row `number`."""
    return UUID(hashlib.md5(f"p{number}".encode(), usedforsecurity=False).hexdigest())


def start(site: Site, username: str, path: str = "/feexpay/initiate/") -> None:
    body = {"provider": "mtn_bj", "amount": 5000, "phone": "0161000050", "merchant_reference": uuid4().hex}
    site.call("POST", path, json.dumps(body).encode(), {"X-Player": username}, 201)


def _added_milliseconds(site: Site, effort: Effort) -> list[float]:
    """Milliseconds that each start took beyond the gateway's answer time, with several users at once."""

    def starts(username: str) -> list[float]:
        start(site, username)
        taken = [_timed(lambda: start(site, username)) for _ in range(max(2, effort.calls // 6))]
        connection.close()
        return [(seconds - _GATEWAY_SECONDS) * 1000 for seconds in taken]

    with ThreadPoolExecutor(_CALLER_COUNT) as threads:
        return list(itertools.chain.from_iterable(threads.map(starts, PLAYERS)))


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
