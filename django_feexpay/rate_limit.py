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

from django_feexpay import conf
from django_feexpay.counters import counters

_PARTS = 10


def wait_seconds(name: str, limit: int, seconds: int) -> float:
    """Count one event. Return 0 if it is admitted, else the seconds to wait before the next try.

    Raises: errors of the cache, or of the database where the cache cannot count; the caller decides whether such an
    error admits or refuses. Safe to repeat: no, each call is an event.
    """
    return _Window(name, limit, seconds).admit()


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

    def admit(self) -> float:
        # Also read one part ahead, because the clock of another process may be ahead.
        keys = {self._mark(part): part for part in range(self._part - _PARTS, self._part + 2)}
        known = self._store.read([self._counter, *keys])
        count = known.get(self._counter, 0)
        marks = {part: known[key] for key, part in keys.items() if key in known}
        if count - _oldest(marks, count) >= self._limit:
            return self._wait(marks, count)
        if self._part not in marks:
            marks[self._part] = self._begin_part(count)
        before = _oldest(marks, count)
        if self._store.increase(self._counter, self._kept_seconds) - before <= self._limit:
            return 0.0
        return self._wait(marks, count)

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

    def _wait(self, marks: Mapping[int, int], count: int) -> float:
        """Seconds until enough parts have left the window for one more event."""
        last = self._part
        for part in sorted(marks):
            later = [mark for other, mark in marks.items() if other > part]
            if count - min(later, default=count) < self._limit:
                last = part
                break
        return max(1.0, (last + _PARTS + 1) * self._part_seconds - self._now)


def _oldest(marks: Mapping[int, int], count: int) -> int:
    """The counter's value before the first event in the window.

    A mark above the counter shows that the cache lost the counter, which started again at 0.
    """
    return min([*(mark if mark <= count else 0 for mark in marks.values()), count])
