"""Threads that see to things for the worker, and leave no database connection behind when they go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Any

from django.db import connections


class Crew:
    """Threads that see to claims, `size` of them at once; what does not fit stays due for somebody who has time.

    Not an executor: a cluster makes a crew each minute, and an executor's threads cannot be told to close the
    connections they keep open between two claims. For one caller's thread.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._waiting: SimpleQueue[tuple[Future[None], Callable[[], None]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way: set[Future[None]] = set()

    @property
    def free(self) -> int:
        self._under_way = {future for future in self._under_way if not future.done()}
        return self._size - len(self._under_way)

    def put(self, work: Callable[..., None], *args: Any) -> None:
        future: Future[None] = Future()
        busy = self._size - self.free
        self._under_way.add(future)
        self._waiting.put((future, partial(work, *args)))
        if len(self._threads) < min(busy + 1, self._size):
            thread = threading.Thread(target=self._run, name=f"feexpay-{self._name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self) -> None:
        wait(self._under_way)

    def wait_for_room(self, seconds: float) -> None:
        """Until one of them is done, or the time is over."""
        wait(self._under_way, seconds, FIRST_COMPLETED)

    def close(self) -> None:
        """Finish what is under way, and let the threads go."""
        for _thread in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        try:
            while (taken := self._waiting.get()) is not None:
                _do(*taken)
        finally:
            connections.close_all()


def _do(future: Future[None], work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as error:
        future.set_exception(error)  # as an executor would: it must end neither the thread nor the others' wait
    else:
        future.set_result(None)
