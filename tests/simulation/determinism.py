"""Time and randomness of one seed: everything in the process that reads a clock or random bytes reads these."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from unittest import mock

from django.utils import timezone

from django_feexpay import conf
from tests.payments.fakes import Clock

#: A Monday, so the first Sunday's comparison, which reads nine days, comes at the end of the simulated week.
BEGINS_AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class VirtualClock(Clock):
    """The time of a simulation. `monotonic` never goes back; `at` jumps with `run_ahead`, as a system clock does."""

    def __init__(self) -> None:
        super().__init__()
        self.at = BEGINS_AT
        self.monotonic = 1_000_000.0
        self._ahead = timedelta(0)

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.monotonic += seconds

    def advance_to(self, instant: datetime) -> None:
        self.advance(max(0.0, (instant - self.at).total_seconds()))

    def run_ahead(self, seconds: float) -> None:
        """Be so far ahead of the true time from now on."""
        ahead = timedelta(seconds=seconds)
        self.at += ahead - self._ahead
        self._ahead = ahead


@contextmanager
def controlled(seed: int, clock: VirtualClock, sleep: Callable[[float], None]) -> Iterator[None]:
    """Replace the clocks and the random bytes of the whole process in this block.

    `uuid4`, `secrets` and `SystemRandom` all read `os.urandom`, so primary keys, tokens and jitter come from the seed,
    too. `sleep` is called instead of `time.sleep`.
    """
    source = random.Random(f"bytes of {seed}")

    class VirtualDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain datetime, not a subclass
            return clock.at.astimezone(tz)

    before = random.getstate()
    random.seed(f"module of {seed}")
    with ExitStack() as stack:
        stack.callback(random.setstate, before)
        stack.enter_context(conf.use_clock(clock))
        for target, name, value in (
            (os, "urandom", source.randbytes),
            (random, "_urandom", source.randbytes),  # bound by name when `random` was imported
            (time, "time", lambda: clock.at.timestamp()),
            (time, "monotonic", lambda: clock.monotonic),
            (time, "sleep", sleep),
            (timezone, "datetime", VirtualDatetime),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        yield
