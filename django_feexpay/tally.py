"""Counts of frequent events, added up in this process and written at most once a second.

A flood causes thousands of events a second. One write for each would cost more than the event.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

_WRITE_EVERY_SECONDS = 1.0


class Tally:
    """Counts of events by name. `write(name, number)` adds a number to the stored count; it must not raise.

    The first event is written at once. The events of the last second are written with the next event or by `flush`; a
    process that ends loses them.
    """

    def __init__(self, write: Callable[[str, int], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._pending: Counter[str] = Counter()
        self._next_write = 0.0

    def note(self, *names: str, number: int = 1) -> None:
        """Count `number` events of each name. Writes in the caller's thread, outside its transactions."""
        with self._lock:
            for name in names:
                self._pending[name] += number
            if time.monotonic() < self._next_write:
                return
        self.flush()

    def flush(self) -> None:
        """Write what has not been written yet."""
        with self._lock:
            pending, self._pending = self._pending, Counter()
            self._next_write = time.monotonic() + _WRITE_EVERY_SECONDS
        for name, number in pending.items():
            self._write(name, number)

    def clear(self) -> None:
        """Forget what has not been written yet, for tests."""
        with self._lock:
            self._pending.clear()
            self._next_write = 0.0
