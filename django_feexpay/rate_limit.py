"""So many acts in any period of so many seconds: a sliding window, exact under concurrency.

One counter gives each act a number; about every tenth of the period the number reached so far is written down, once.
The acts of the last period are the newest number minus the oldest one written within it. All callers draw from one
counter (`counters`), so of many at once exactly as many pass as there is room for, and no fixed window has an edge
at which twice the limit gets through.

The promise: never more than `limit` acts in any `seconds`, by the app's clock (`conf.now`). The error is on the strict
side: an act counts for one to one and a tenth periods, and acts that were refused because another was quicker
may count, too. An act that finds no room is not counted, so that a client which keeps trying is let in again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from django_feexpay import conf
from django_feexpay.counters import counters

#: Into so many parts a period is cut.
_PARTS = 10


def wait_seconds(name: str, limit: int, seconds: int) -> float:
    """Count one act of `name`. 0: it may go on; else it may not, and how long to wait before asking again.

    Raises what the cache (or, where it cannot count, the database) raises: whether that means yes or no is the
    caller's to say. Safe to repeat: no, each call is an act.
    """
    return _Window(name, limit, seconds).admit()


class _Window:
    """One act's view of the last period."""

    def __init__(self, name: str, limit: int, seconds: int) -> None:
        self._limit = limit
        self._part_seconds = seconds / _PARTS
        self._kept_seconds = 3 * seconds  # longer than any part of it is asked for
        self._count = f"feexpay:rate:{name}"
        self._now = conf.now().timestamp()
        self._part = math.floor(self._now / self._part_seconds)
        self._store = counters()

    def admit(self) -> float:
        # One part ahead, too: another host may already be there.
        parts = {self._mark(part): part for part in range(self._part - _PARTS, self._part + 2)}
        known = self._store.read([self._count, *parts])
        count = known.get(self._count, 0)
        marks = {part: known[key] for key, part in parts.items() if key in known}
        if count - _oldest(marks, count) >= self._limit:
            return self._wait(marks, count)
        if self._part not in marks:
            marks[self._part] = self._begin_part(count)
        before = _oldest(marks, count)
        if self._store.increase(self._count, self._kept_seconds) - before <= self._limit:
            return 0.0
        return self._wait(marks, count)

    def _begin_part(self, count: int) -> int:
        """Write down the number before the first act of this part; the number that stands there now.

        Before the act itself is counted: so no number that is written is larger than what was true.
        """
        self._store.keep(self._count, self._kept_seconds)
        if self._store.set_first(self._mark(self._part), count, self._kept_seconds):
            return count
        return self._store.read([self._mark(self._part)]).get(self._mark(self._part), 0)

    def _mark(self, part: int) -> str:
        return f"{self._count}:{part}"

    def _wait(self, marks: Mapping[int, int], count: int) -> float:
        """Until enough parts have left the period."""
        for part in sorted(marks):
            newer = [mark for later, mark in marks.items() if later > part]
            if count - min(newer, default=count) < self._limit:
                break
        else:
            part = self._part
        left = (part + _PARTS + 1) * self._part_seconds - self._now
        return max(1.0, left)


def _oldest(marks: Mapping[int, int], count: int) -> int:
    """The number before the first act of the period. A mark above the count: the cache lost the count, which began
    again at nothing.
    """
    return min([*(mark if mark <= count else 0 for mark in marks.values()), count])
