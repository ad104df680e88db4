"""A sliding-window rate limit, exact under concurrency.

One atomic counter (`counters`) numbers the events of a name. The window has ten parts, and the first event of a part
stores the counter's value as the part's mark. The counter minus the oldest mark in the window is the number of events
in the window. All processes share the counter, so concurrent events never exceed the limit.

At most `limit` events pass in any period of `seconds`, by the app's clock (`conf.now`). An event counts for 1 to 1.1
times `seconds`. A refused event does not count, so a client that keeps trying is admitted again. One exception: an
event that is refused because concurrent events reached the limit first may count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from django_feexpay import conf
from django_feexpay.counters import counters

_PARTS = 10


@dataclass(frozen=True, slots=True)
class Use:
    """How far a limit is used up, this event included.

    wait: seconds until the next event is admitted; 0 if this one was. remaining: further events that are admitted now.
    renewed: seconds until the window has room for more than `remaining`.
    """

    wait: float
    remaining: int
    renewed: float


def use(name: str, limit: int, seconds: int) -> Use:
    """Count one event.

    Raises: errors of the cache, or of the database where the cache cannot count; the caller decides whether such an
    error admits or refuses. Safe to repeat: no, each call is an event.
    """
    return _Window(name, limit, seconds).admit()


def wait_seconds(name: str, limit: int, seconds: int) -> float:
    """Count one event, as `use`. Return 0 if it is admitted, else the seconds to wait before the next try."""
    return use(name, limit, seconds).wait


class _Window:
    """The window of one name, for one event."""

    def __init__(self, name: str, limit: int, seconds: int) -> None:
        self._limit = limit
        self._part_seconds = seconds / _PARTS
        self._kept_seconds = 3 * seconds  # longer than any mark is read
        self._counter = f"feexpay:rate:{name}"
        self._now = conf.now().timestamp()
        self._part = math.floor(self._now / self._part_seconds)
        self._store = counters()

    def admit(self) -> Use:
        # Also read one part ahead, because the clock of another process may be ahead.
        keys = {self._mark(part): part for part in range(self._part - _PARTS, self._part + 2)}
        known = self._store.read([self._counter, *keys])
        count = known.get(self._counter, 0)
        marks = {part: known[key] for key, part in keys.items() if key in known}
        if count - _oldest(marks, count) >= self._limit:
            return self._refused(marks, count)
        if self._part not in marks:
            marks[self._part] = self._begin_part(count)
        before = _oldest(marks, count)
        used = self._store.increase(self._counter, self._kept_seconds) - before
        if used > self._limit:
            return self._refused(marks, count)
        return Use(0.0, self._limit - used, self._seconds_until_left(_first_counted(marks, count, self._part)))

    def _begin_part(self, count: int) -> int:
        """Store the mark of this part unless another event has stored it; return the stored mark.

        Each event stores or reads the mark before it increases the counter, so a mark is never too high.
        """
        self._store.keep(self._counter, self._kept_seconds)
        mark = self._mark(self._part)
        if self._store.set_first(mark, count, self._kept_seconds):
            return count
        return self._store.read([mark]).get(mark, 0)

    def _mark(self, part: int) -> str:
        return f"{self._counter}:{part}"

    def _refused(self, marks: Mapping[int, int], count: int) -> Use:
        """Wait until enough parts have left the window for one more event."""
        last = self._part
        for part in sorted(marks):
            later = [mark for other, mark in marks.items() if other > part]
            if count - min(later, default=count) < self._limit:
                last = part
                break
        wait = self._seconds_until_left(last)
        return Use(wait, 0, wait)

    def _seconds_until_left(self, part: int) -> float:
        return max(1.0, (part + _PARTS + 1) * self._part_seconds - self._now)


def _oldest(marks: Mapping[int, int], count: int) -> int:
    """The counter's value before the first event in the window.

    A mark above the counter shows that the cache lost the counter, which started again at 0.
    """
    return min([*(mark if mark <= count else 0 for mark in marks.values()), count])


def _first_counted(marks: Mapping[int, int], count: int, current: int) -> int:
    """The oldest part that holds an event; the current one if this event is the only one."""
    parts = sorted(marks)
    for part, following in zip(parts, parts[1:], strict=False):
        if marks[following] > marks[part] or marks[part] > count:
            return part
    return current
