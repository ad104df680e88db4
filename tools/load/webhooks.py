"""Webhooks alone: the shop's endpoint, and in turn the minimum with the ORM on the same server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from tests.soak.clients import PAYMENTS, session
from tools.bench import rows
from tools.bench.endpoints import Delivery, delivery
from tools.load.report import Posted

_BLOCKS = 10
_TIMEOUT_SECONDS = 30.0


def post_in_turn(shop: str, count: int, senders: int, used: Callable[[], Mapping[str, float]]) -> tuple[Posted, Posted]:
    """Send `count` first webhooks to each of both views, in blocks: what ours took, and what the minimum took.

    `used`: the CPU seconds of each part so far. No worker may run: it would look for the payments that are reported.
    """
    block = -(-count // _BLOCKS)
    rows.fill_small(2 * (_BLOCKS + 1) * block)  # every second payment waits for its webhook
    numbers = [range(2 * block * turn + 2, 2 * block * (turn + 1) + 2, 2) for turn in range(_BLOCKS + 1)]
    ours, minimum = Posted(), Posted()
    sides = ((ours, f"{shop}{PAYMENTS}/webhook/"), (minimum, f"{shop}/reference/webhook/"))
    with ThreadPoolExecutor(senders) as pool:
        for turn, chosen in enumerate(numbers):
            for posted, url in sides if turn % 2 else sides[::-1]:
                deliveries = [delivery(number) for number in chosen]
                before, began = used(), time.monotonic()
                list(pool.map(lambda one, url=url: _post(url, one), deliveries))
                if turn == 0:
                    continue  # the first block only opens the connections
                posted.count += len(deliveries)
                posted.seconds += time.monotonic() - began
                for part, seconds in used().items():
                    posted.cpu_seconds[part] = posted.cpu_seconds.get(part, 0.0) + seconds - before[part]
    return ours, minimum


def _post(url: str, given: Delivery) -> None:
    """Raises: RuntimeError for another answer than 200, because its time would mean nothing."""
    headers = {"Content-Type": "application/json", **given.headers}
    answer = session().post(url, data=given.body, headers=headers, timeout=_TIMEOUT_SECONDS)
    if answer.status_code != 200:
        raise RuntimeError(f"{url} answered {answer.status_code}: {answer.text[:300]}")
