"""When to poll next: at the server's interval, or with back-off after errors. Polling never stops after an error."""

from __future__ import annotations

import random

#: Shortest interval, in case the server sends 0.
SOONEST_SECONDS = 1.0
LATEST_SECONDS = 300.0
#: Interval for a pending payment without `next_poll_seconds`.
DEFAULT_SECONDS = 5.0
#: Interval while the server refuses to show the payment, which only its staff can correct.
REFUSED_SECONDS = 60.0
#: Seconds without a key press after which a quote for the typed amount is requested.
TYPING_SECONDS = 0.4
_UNCHANGED_SECONDS = 10.0
#: Interval while an event stream is open: a safeguard against a stream that is open but silent.
_LIVE_SECONDS = 15.0
_BACKOFF_SECONDS = (2.0, 3.0, 5.0, 8.0, 15.0, 30.0)


def after_answer(next_poll_seconds: int | None, unchanged_polls: int = 0, *, live: bool = False) -> float:
    """Seconds until the next poll of a pending payment.

    unchanged_polls: number of 304 answers since the last full answer. They carry no interval, so each makes it
    a second longer, until it is ten seconds. live: an event stream is open.
    """
    interval = DEFAULT_SECONDS if next_poll_seconds is None else float(next_poll_seconds)
    interval = max(interval, min(interval + unchanged_polls, _UNCHANGED_SECONDS))
    return _bounded(max(interval, _LIVE_SECONDS) if live else interval)


def after_failure(failures: int, retry_after: float | None = None) -> float:
    """Seconds after the n-th failure in a row (from 1): back-off up to 30, or the server's Retry-After."""
    if retry_after is not None:
        return _bounded(retry_after)
    return _BACKOFF_SECONDS[min(max(failures, 1), len(_BACKOFF_SECONDS)) - 1]


def jittered(seconds: float, random_source: random.Random) -> float:
    """Add up to a fifth as jitter, so that thousands of phones do not poll in the same second."""
    return seconds * (1 + 0.2 * random_source.random())


def _bounded(seconds: float) -> float:
    return min(max(seconds, SOONEST_SECONDS), LATEST_SECONDS)
