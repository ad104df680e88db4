"""Pools of threads for the worker, which close their database connections when they end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connections

from django_feexpay import log_context
from django_feexpay.background.database_errors import cause_of

logger = logging.getLogger("django_feexpay.worker")


class WorkerPool:
    """At most `size` threads. The owner asks `free` before `put`; work that does not fit stays due in the database.

    Not an executor: its threads would keep their database connections open after the pool is closed. Not thread-safe.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._waiting: SimpleQueue[tuple[Future[None], Callable[[], None]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way: set[Future[None]] = set()
        self._at_work: dict[threading.Thread, Future[None]] = {}
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        self._under_way = {future for future in self._under_way if not future.done()}
        return self._size - len(self._under_way)

    def put(self, work: Callable[..., None], *args: Any) -> None:
        future: Future[None] = Future()
        busy = self._size - self.free
        self._under_way.add(future)
        self._waiting.put((future, partial(_in_context, log_context.current().entry_point, work, *args)))
        if len(self._threads) < min(busy + 1, self._size):
            thread = threading.Thread(target=self._run, name=f"feexpay-{self._name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all work is done, or `seconds` have passed; return whether it is done."""
        return not wait(self._under_way, seconds).not_done

    def wait_for_free_thread(self, seconds: float) -> None:
        """Wait until one thread is free, or `seconds` have passed."""
        wait(self._under_way, seconds, FIRST_COMPLETED)

    def abandon(self, thread: threading.Thread) -> bool:
        """Replace a thread whose work does not return; it ends when the work does. False if it is not at work here."""
        with self._lock:
            future = self._at_work.pop(thread, None)
            if future is None:
                return False
            self._threads.remove(thread)
            self._under_way.discard(future)
            return True

    def close(self, seconds: float | None = None) -> None:
        """Finish the work under way and end the threads; wait at most `seconds` (None: as long as it takes)."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        for _thread in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(None if ends_at is None else max(0.0, ends_at - time.monotonic()))

    def _run(self) -> None:
        try:
            while (taken := self._waiting.get()) is not None:
                if not self._work(*taken):
                    return
        finally:
            connections.close_all()

    def _work(self, future: Future[None], work: Callable[[], None]) -> bool:
        """Run the work; False if the thread was abandoned meanwhile."""
        thread = threading.current_thread()
        with self._lock:
            self._at_work[thread] = future
        try:
            work()
        except BaseException as error:
            future.set_exception(error)  # as in an executor: no error may end the thread or the wait for it
        else:
            future.set_result(None)
        with self._lock:
            return self._at_work.pop(thread, None) is not None


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
