"""End the wait for a body that comes too slowly, so that slow senders cannot hold every thread of the server.

A WSGI application reads the body from a blocking stream, which has no time limit. gunicorn hands over the connection
(`gunicorn.socket`), so one thread per process closes the reading half of a connection that exceeds its time: the read
then ends, and the problem still reaches the sender. Other servers give no such handle; under ASGI the server has read
the body before the view runs. There a proxy in front must limit the time (nginx: `client_body_timeout`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpRequest

#: FeexPay's bodies have about a kilobyte and come with the headers.
SECONDS = 5.0
_CLOSE_AFTER_SECONDS = 2.0
_CHECK_EVERY_SECONDS = 0.25


class Deadline:
    """The time limit of one body."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.ends_at = time.monotonic() + SECONDS
        self.is_over = False


class _Watch:
    """One thread that ends the reads whose time is over."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: set[Deadline] = set()
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        with self._changed:
            self._waiting.add(deadline)
            if self._thread is None or not self._thread.is_alive():  # none survives a fork
                self._thread = threading.Thread(target=self._run, name="feexpay-slow-bodies", daemon=True)
                self._thread.start()
            elif len(self._waiting) == 1:
                self._changed.notify()

    def remove(self, deadline: Deadline) -> None:
        """Stop watching a body that has arrived. One whose time is over stays, so that its connection is closed."""
        with self._changed:
            if not deadline.is_over:
                self._waiting.discard(deadline)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                self._end_reads(time.monotonic())
            time.sleep(_CHECK_EVERY_SECONDS)

    def _end_reads(self, now: float) -> None:
        for deadline in list(self._waiting):
            if deadline.is_over and now > deadline.ends_at + _CLOSE_AFTER_SECONDS:
                self._waiting.discard(deadline)  # the problem was sent, so the server need not wait for the rest
                _shut(deadline.connection, socket.SHUT_RDWR)
            elif not deadline.is_over and now > deadline.ends_at:
                deadline.is_over = True
                _shut(deadline.connection, socket.SHUT_RD)


def _shut(connection: Any, how: int) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        connection.shutdown(how)


_watch = _Watch()


@contextmanager
def deadline(request: HttpRequest) -> Iterator[Deadline]:
    """Limit the time of the reads in this block. `is_over` afterwards says whether the body was cut."""
    limit = Deadline(request.META.get("gunicorn.socket"))
    if limit.connection is None:
        yield limit
        return
    _watch.add(limit)
    try:
        yield limit
    finally:
        _watch.remove(limit)
