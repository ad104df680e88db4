"""How much of FeexPay this shop uses: so many exchanges a second, so many at once from doors, and none while FeexPay
asks to slow down. Shared by all processes through the cache; without it there is no bound.

Polling yields first: it gets a share of each second, readers of a status less, what is sent to a payer all of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from django_feexpay import cache_state, conf
from django_feexpay.conf import feexpay
from django_feexpay.gateway.client import CallSeen

#: The share of a second that is left to whom: readers of a status, the worker's polling, what is sent or asked for.
READING, POLLING, SENDING = 0.5, 0.7, 1.0

#: Looks at payments that are credited already, of all processes together.
CREDITED_A_MINUTE = 20

#: FeexPay's 429 without a Retry-After.
_SLOW_DOWN_SECONDS = 5
_LONGEST_PAUSE = timedelta(hours=1)
#: Longer than the longest exchange a door waits for: a process that was killed gives its place back by itself.
_PLACE_SECONDS = 60
_PAUSE = "budget:pause"

_dice = random.SystemRandom()


def wait_seconds(share: float) -> int:
    """0: one exchange is spent of this second. Else how long to wait, at least one second."""
    now = conf.now().timestamp()
    second = f"budget:{int(now)}"
    known = cache_state.read((_PAUSE, second))
    if pause := _left(known, now):
        return pause
    bound = feexpay.gateway_per_second
    if not bound:
        return 0
    if share < SENDING and known.get(second, 0) >= max(1, int(bound * share)):
        return 1
    return 0 if cache_state.count_up(second, 5) <= bound else 1


def wait_after_credit_seconds() -> int:
    """0: one look at a credited payment is spent of this minute. Else how long to wait.

    Webhooks that nobody signed ask for these looks: many of them must not take FeexPay's time from those who wait.
    """
    now = int(conf.now().timestamp())
    if cache_state.count_up(f"budget:credited:{now // 60}", 120) <= CREDITED_A_MINUTE:
        return 0
    return 60 - now % 60 + _dice.randrange(60)


def see(seen: CallSeen) -> None:
    """Obey FeexPay's 429, everybody. Never raises."""
    if seen.http_status != 429 or seen.error is None:
        return
    now = conf.now().timestamp()
    until = now + (seen.error.retry_after_seconds or _SLOW_DOWN_SECONDS)
    if until - now > _left(cache_state.read((_PAUSE,)), now):
        cache_state.put(_PAUSE, until, _LONGEST_PAUSE.total_seconds())


def pause_seconds() -> int:
    """How long FeexPay still asks to be left alone; 0: it does not."""
    return _left(cache_state.read((_PAUSE,)), conf.now().timestamp())


def _left(known: Mapping[str, float], now: float) -> int:
    left = known.get(_PAUSE, 0.0) - now
    by_a_clock_that_was_ahead = left > _LONGEST_PAUSE.total_seconds()
    return 0 if by_a_clock_that_was_ahead else max(0, math.ceil(left))


@contextmanager
def place() -> Iterator[bool]:
    """One of the places for exchanges that a door waits for, until the block ends; False when all are taken."""
    places = feexpay.gateway_at_once
    if not places:
        yield True
        return
    taken = _take_place(places)
    try:
        yield taken is not None
    finally:
        if taken is not None:
            cache_state.drop(taken)


def _take_place(places: int) -> str | None:
    first = _dice.randrange(places)
    names = (f"budget:place:{(first + step) % places}" for step in range(places))
    return next((name for name in names if cache_state.take(name, _PLACE_SECONDS, otherwise=True)), None)
