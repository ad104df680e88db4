"""Timing of calls in this process, and the lines of the report.

A machine's speed changes within minutes, so single times cannot be compared. Only ratios of blocks that ran shortly
after each other are reported.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created

_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: `rounds` with a `block` of calls for each function, and the rows of both databases."""

    rounds: int = 11
    block: int = 12
    small_rows: int = 10_000
    large_rows: int = 500_000
    due_rows: int = 200
    polls_seconds: float = 2.0
    concurrencies: tuple[int, ...] = (8, 50)
    engine_payments: int = 20

    @property
    def calls(self) -> int:
        """How often one function is called, warm-up included."""
        return self.rounds * self.block + _WARM_UP


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `met` is None if there is no goal."""

    name: str
    value: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median and quartiles of the ratios of all rounds, and the median seconds per call of both sides."""

    median: float
    low: float
    high: float
    seconds: float
    base_seconds: float

    def __str__(self) -> str:
        times = f"{_time(self.seconds)} / {_time(self.base_seconds)}"
        return f"{self.median:.2f} [{self.low:.2f}-{self.high:.2f}]  {times}"


def interleave(
    works: Mapping[str, Callable[[], object]],
    effort: Effort,
    *,
    block: int | None = None,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Seconds per call, by name and round. Each round runs a block of each function, in random order."""
    calls = block or effort.block
    for work in works.values():
        _repeat(work, _WARM_UP)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(effort.rounds):
        order = list(works)
        random.Random(number).shuffle(order)  # noqa: S311 -- the same order in every run
        for name in order:
            seconds[name].append(_block_seconds(works[name], calls, clock))
    return seconds


def ratio(times: Sequence[float], base: Sequence[float]) -> Ratio:
    """The ratio of `times` to `base`, computed round by round."""
    ratios = [seconds / base_seconds for seconds, base_seconds in zip(times, base, strict=True)]
    low, high = (min(ratios), max(ratios)) if len(ratios) < 4 else _quartiles(ratios)
    return Ratio(statistics.median(ratios), low, high, statistics.median(times), statistics.median(base))


def at_most(name: str, measured: Ratio, goal: float) -> Figure:
    return Figure(name, str(measured), f"≤ {goal:g} ×", measured.median <= goal)


def statements(name: str, count: float, goal: int | None = None) -> Figure:
    """The line for a number of SQL statements, without BEGIN and COMMIT."""
    if goal is None:
        return Figure(name, f"{count:g} statements")
    return Figure(name, f"{count:g} statements", f"≤ {goal}", count <= goal)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collect the SQL of this thread's connection and of every connection that is opened in the block."""
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    def listen(connection: Any, **kwargs: Any) -> None:
        connection.execute_wrappers.append(note)

    connection_created.connect(listen)
    try:
        with connection.execute_wrapper(note):
            yield seen
    finally:
        connection_created.disconnect(listen)


def count_of(work: Callable[[], object]) -> int:
    """The number of SQL statements of one call, after a first call has filled the caches."""
    work()
    with counted() as seen:
        work()
    return len(seen)


def _repeat(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def _block_seconds(work: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    gc.collect()
    start = clock()
    _repeat(work, calls)
    return (clock() - start) / calls


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    first, _, third = statistics.quantiles(values, n=4)
    return first, third


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"
