"""The open event streams of this process, counted exactly: a stream counts from its request until its end.

A request that is admitted counts at once, before its stream has begun, so many that connect at the same moment cannot
exceed a limit together. A stream that never begins, because its client went away, is counted out when it is freed.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, deque
from uuid import UUID

_lock = threading.Lock()
_open: Counter[UUID] = Counter()
#: Streams that have ended and are still in `_open`. The garbage collector may run inside the lock, in the same thread:
#: appending needs no lock.
_ended: deque[UUID] = deque()


class OpenStream:
    """One admitted stream."""

    def __init__(self, payment_id: UUID) -> None:
        self._held = [payment_id]

    def end(self) -> None:
        """Count the stream out. Safe to repeat: yes."""
        try:
            _ended.append(self._held.pop())
        except IndexError:
            return

    def end_with(self, frames: object) -> None:
        """Count the stream out at the latest when its frames are freed."""
        weakref.finalize(frames, self.end).atexit = False


def admit(payment_id: UUID, *, most_of_payment: int, most: int) -> OpenStream | None:
    """Count a new stream of a payment; None if that payment, or the process, has its most streams already."""
    with _lock:
        while _ended:
            ended = _ended.popleft()
            _open[ended] -= 1
            if not _open[ended]:
                del _open[ended]
        if _open[payment_id] >= most_of_payment or _open.total() >= most:
            return None
        _open[payment_id] += 1
    return OpenStream(payment_id)
