"""Pools of threads for the worker, which close their database connections when they end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connections

from django_feexpay import log_context
from django_feexpay.background.database_errors import cause_of

logger = logging.getLogger("django_feexpay.worker")


class WorkerPool:
    """At most `size` threads. The owner asks `free` before `put`; work beyond that waits for a thread.

    finished: set after each piece of work.
    Not an executor: its threads would keep their database connections open after the pool is closed. Only its owner's
    thread may call it.
    """

    def __init__(self, size: int, name: str, *, finished: threading.Event | None = None) -> None:
        self._size = size
        self._name = name
        self._finished = finished
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._at_work: set[threading.Thread] = set()
        self._unfinished = 0
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """How many threads have no work; negative: so many pieces of work wait for a thread."""
        with self._changed:
            return self._size - self._unfinished

    def put(self, work: Callable[..., None], *args: Any) -> None:
        with self._changed:
            self._unfinished += 1
            needed = min(self._unfinished, self._size)
        self._waiting.put(partial(_in_context, log_context.current().entry_point, work, *args))
        if len(self._threads) < needed:
            thread = threading.Thread(target=self._run, name=f"feexpay-{self._name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all work is done, or `seconds` have passed; return whether it is done."""
        with self._changed:
            return self._changed.wait_for(lambda: self._unfinished == 0, seconds)

    def abandon(self, thread: threading.Thread) -> bool:
        """Replace a thread whose work does not return; it ends when the work does. False if it is not at work here."""
        if not self._end_work_of(thread):
            return False
        self._threads.remove(thread)
        return True

    def close(self, seconds: float | None = None) -> None:
        """Finish the work under way and end the threads; wait at most `seconds` (None: as long as it takes)."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        for _thread in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(None if ends_at is None else max(0.0, ends_at - time.monotonic()))

    def _run(self) -> None:
        thread = threading.current_thread()
        try:
            while (work := self._waiting.get()) is not None:
                with self._changed:
                    self._at_work.add(thread)
                with suppress(BaseException):  # as in an executor: no error may end the thread or the wait for it
                    work()
                if not self._end_work_of(thread):
                    return  # it was abandoned meanwhile
        finally:
            connections.close_all()

    def _end_work_of(self, thread: threading.Thread) -> bool:
        """Count the work of a thread as done; False if it has none, or was abandoned."""
        with self._changed:
            if thread not in self._at_work:
                return False
            self._at_work.remove(thread)
            self._unfinished -= 1
            self._changed.notify_all()
        if self._finished is not None:
            self._finished.set()
        return True


def _in_context(entry_point: str, work: Callable[..., None], *args: Any) -> None:
    """Work under the entry point of the pool's owner: a new thread has no context."""
    with log_context.entry_point(entry_point):
        work(*args)


def run_logged(work: Callable[..., object], *args: Any) -> None:
    """Run `work` in a pool thread and log its errors; the next round tries again."""
    try:
        work(*args)
    except AnyDatabaseError as error:
        logger.error("%s: %s", getattr(work, "__name__", "work"), cause_of(error))
    except Exception:
        logger.exception("%s failed", getattr(work, "__name__", "work"))
    finally:
        close_old_connections()
