"""A sliding-window rate limit, exact under concurrency.

One atomic counter (`counters`) numbers the events of a name. The period is cut into ten parts; the first event of a
part stores the counter's value as the part's mark. The events of the last period are the counter minus the oldest mark
within it. All processes share the counter, so of many concurrent events exactly as many pass as the limit allows, and
there is no window edge at which twice the limit passes.

The promise: never more than `limit` events in any `seconds`, by the app's clock (`conf.now`). It errs on the strict
side: an event counts for 1 to 1.1 periods. An event that is refused does not count, so a client that keeps trying is
admitted again; only one that lost a race with another event may count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from django_feexpay import conf
from django_feexpay.counters import counters

_PARTS = 10


def wait_seconds(name: str, limit: int, seconds: int) -> float:
    """Count one event; return 0 when it may go on, else how long to wait before the next try.

    Raises: whatever the cache raises (the database, where the cache cannot count). The caller decides whether that
    admits or refuses. Safe to repeat: no, each call is an event.
    """
    return _Window(name, limit, seconds).admit()


class _Window:
    """The last period of one name, as one event sees it."""

    def __init__(self, name: str, limit: int, seconds: int) -> None:
        self._limit = limit
        self._part_seconds = seconds / _PARTS
        self._kept_seconds = 3 * seconds  # longer than any mark is read
        self._counter = f"feexpay:rate:{name}"
        self._now = conf.now().timestamp()
        self._part = math.floor(self._now / self._part_seconds)
        self._store = counters()

    def admit(self) -> float:
        # One part ahead as well: the clock of another process may already be there.
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
        """Store the mark of this part unless another event did; return the mark that stands.

        Each event stores or sees the mark before it increases the counter, so a mark is never too high.
        """
        self._store.keep(self._counter, self._kept_seconds)
        mark = self._mark(self._part)
        if self._store.set_first(mark, count, self._kept_seconds):
            return count
        return self._store.read([mark]).get(mark, 0)

    def _mark(self, part: int) -> str:
        return f"{self._counter}:{part}"

    def _wait(self, marks: Mapping[int, int], count: int) -> float:
        """Seconds until so many parts have left the period that one more event fits."""
        last = self._part
        for part in sorted(marks):
            later = [mark for other, mark in marks.items() if other > part]
            if count - min(later, default=count) < self._limit:
                last = part
                break
        return max(1.0, (last + _PARTS + 1) * self._part_seconds - self._now)


def _oldest(marks: Mapping[int, int], count: int) -> int:
    """The counter's value before the first event of the period.

    A mark above the counter means that the cache lost the counter, which began again at 0.
    """
    return min([*(mark if mark <= count else 0 for mark in marks.values()), count])
