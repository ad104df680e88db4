"""Rate budget and bulkhead: how many calls to FeexPay per second, and how many payers' requests at once.

All processes share both through the cache; without a cache there is no limit. When FeexPay answers 429, nothing is sent
until its pause is over. Polling may use only a share of each second's calls, status reads a smaller one, and sending
all of them.
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

#: The share of a second's calls for status reads, for the worker's polling, and for sending.
READING, POLLING, SENDING = 0.5, 0.7, 1.0

#: Polls of credited payments, by all processes together.
CREDITED_A_MINUTE = 20

#: FeexPay's 429 without a Retry-After.
_DEFAULT_PAUSE_SECONDS = 5
_LONGEST_PAUSE = timedelta(hours=1)
#: Longer than the longest call in a slot: the slot of a killed process becomes free by itself.
_SLOT_SECONDS = 60
_PAUSE = "budget:pause"

_random = random.SystemRandom()


def wait_seconds(share: float) -> int:
    """0 to go on; otherwise how long to wait, at least one second.

    Changes: takes one call of this second. Safe to repeat: no.
    """
    now = conf.now().timestamp()
    second = f"budget:{int(now)}"
    known = cache_state.read((_PAUSE, second))
    if pause := _left(known, now):
        return pause
    limit = feexpay.gateway_per_second
    if not limit:
        return 0
    if share < SENDING and known.get(second, 0) >= max(1, int(limit * share)):
        return 1
    return 0 if cache_state.count_up(second, 5) <= limit else 1


def wait_after_credit_seconds() -> int:
    """0 to poll a credited payment now; otherwise how long to wait.

    Unsigned webhooks can ask for these polls, so their number is limited: they must not delay payers who wait.
    Changes: takes one such poll of this minute. Safe to repeat: no.
    """
    now = int(conf.now().timestamp())
    if cache_state.count_up(f"budget:credited:{now // 60}", 120) <= CREDITED_A_MINUTE:
        return 0
    return 60 - now % 60 + _random.randrange(60)


def record(seen: CallSeen) -> None:
    """Start a pause for all processes when FeexPay answered 429. Never raises."""
    if seen.http_status != 429 or seen.error is None:
        return
    now = conf.now().timestamp()
    until = now + (seen.error.retry_after_seconds or _DEFAULT_PAUSE_SECONDS)
    if until - now > _left(cache_state.read((_PAUSE,)), now):
        cache_state.put(_PAUSE, until, _LONGEST_PAUSE.total_seconds())


def pause_seconds() -> int:
    """How long FeexPay's pause still lasts; 0: there is none."""
    return _left(cache_state.read((_PAUSE,)), conf.now().timestamp())


def _left(known: Mapping[str, float], now: float) -> int:
    left = known.get(_PAUSE, 0.0) - now
    by_a_clock_that_was_ahead = left > _LONGEST_PAUSE.total_seconds()
    return 0 if by_a_clock_that_was_ahead else max(0, math.ceil(left))


# --- bulkhead ----------------------------------------------------------------------------------------


@contextmanager
def slot() -> Iterator[bool]:
    """Hold one of the slots for calls that a payer's request waits for; False when all are taken."""
    count = feexpay.gateway_at_once
    if not count:
        yield True
        return
    first = _random.randrange(count)
    names = (_slot_key((first + step) % count) for step in range(count))
    taken = next((name for name in names if cache_state.take(name, _SLOT_SECONDS, otherwise=True)), None)
    try:
        yield taken is not None
    finally:
        if taken is not None:
            cache_state.drop(taken)


def has_free_slot() -> bool:
    """Whether `slot` would give one now. Changes: nothing."""
    count = feexpay.gateway_at_once
    return not count or len(cache_state.read(map(_slot_key, range(count)))) < count


def _slot_key(number: int) -> str:
    return f"budget:slot:{number}"
