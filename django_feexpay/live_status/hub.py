"""All event streams of one event loop. They share one listener, one reader and one database connection.

A stream holds no connection, thread or timer of the database: it waits for its subscription. The reader is a thread
that reads the payments that changed, many in one statement, and those whose time to be read again has come. So a
notice that is lost, or a database without NOTIFY, delays an event but loses none.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import close_old_connections, connections

from django_feexpay.live_status.listeners import listen
from django_feexpay.live_status.snapshots import Snapshot, View, read_snapshots

logger = logging.getLogger("django_feexpay.live_status")

#: A process keeps its listener for this time after its last stream ended.
_IDLE_SECONDS = 30.0
#: After a failed read the payments are read again after this time.
_AFTER_FAILURE_SECONDS = 5.0


class Subscription:
    """What one stream waits for. It keeps only the newest snapshot, so a slow reader skips the older ones."""

    def __init__(self) -> None:
        self._newest: Snapshot | None = None
        self._changed = asyncio.Event()
        #: The stream should end now: the server stops, or its payment cannot be watched any more.
        self.is_ended = False

    def put(self, snapshot: Snapshot) -> None:
        self._newest = snapshot
        self._changed.set()

    def end(self) -> None:
        self.is_ended = True
        self._changed.set()

    async def next(self, seconds: float) -> Snapshot | None:
        """The newest snapshot since the last call; None after `seconds` without one, and at the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return None
        self._changed.clear()
        newest, self._newest = self._newest, None
        return newest


class _Watched:
    """One payment with its subscriptions, and when it is read next."""

    def __init__(self) -> None:
        self.readers: dict[Subscription, View] = {}
        self.read_at = 0.0

    def publish(self, snapshots: dict[View, Snapshot], now: float) -> None:
        for subscription, view in self.readers.items():
            if view in snapshots:  # not if it subscribed during the read: then it is read again
                subscription.put(snapshots[view])
                self.read_at = now + snapshots[view].read_again_seconds


class Hub:
    """The streams of one event loop. Every method runs in that loop."""

    def __init__(self) -> None:
        self._watched: dict[UUID, _Watched] = {}
        self._due: set[UUID] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        end_streams_on_sigterm(asyncio.get_running_loop(), self)

    @contextmanager
    def subscribe(self, payment_id: UUID, view: View) -> Iterator[Subscription]:
        """Watch a payment inside the block. It is read at once, since it may have changed before."""
        subscription = Subscription()
        watched = self._watched.setdefault(payment_id, _Watched())
        watched.readers[subscription] = view
        self.mark_changed([payment_id])
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="feexpay live status")
        try:
            yield subscription
        finally:
            del watched.readers[subscription]
            if not watched.readers:
                self._watched.pop(payment_id, None)
                self._wake.set()

    def mark_changed(self, payment_ids: Iterable[UUID] | None = None) -> None:
        """Read these payments soon, as far as they are watched; None: all that are watched."""
        self._due.update(self._watched if payment_ids is None else self._watched.keys() & set(payment_ids))
        if self._due:
            self._wake.set()

    def end_all(self) -> None:
        """End every stream, so that the clients connect to another process."""
        for watched in self._watched.values():
            for subscription in watched.readers:
                subscription.end()

    async def _run(self) -> None:
        """Listen and read until no stream was open for a while."""
        listening = asyncio.create_task(listen(self.mark_changed), name="feexpay listener")
        reader = ThreadPoolExecutor(1, thread_name_prefix="feexpay-live-status")
        try:
            while await self._wait():
                await self._read(reader)
        except Exception:
            logger.exception("event streams end: their reader failed")
            self.end_all()
        finally:
            self._task = None  # the next stream starts anew
            listening.cancel()
            reader.submit(connections.close_all)
            reader.shutdown(wait=False)

    async def _wait(self) -> bool:
        """Wait until payments are due; False after _IDLE_SECONDS without a stream."""
        loop = asyncio.get_running_loop()
        idle_at = loop.time() + _IDLE_SECONDS
        while not self._due:
            next_at = min((watched.read_at for watched in self._watched.values()), default=idle_at)
            try:
                async with asyncio.timeout_at(next_at):
                    await self._wake.wait()
            except TimeoutError:
                if not self._watched:
                    return False
            self._wake.clear()
            now = loop.time()
            self._due.update(key for key, watched in self._watched.items() if watched.read_at <= now)
        self._wake.clear()
        return True

    async def _read(self, reader: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        due, self._due = self._due & self._watched.keys(), set()
        wanted = {key: set(self._watched[key].readers.values()) for key in due}
        if not wanted:
            return
        try:
            found = await loop.run_in_executor(reader, _read_in_thread, wanted)
        except Exception as error:  # the database is away, or one row cannot be shown: others must go on
            logger.error("event streams: %d payments could not be read: %s", len(wanted), type(error).__name__)
            found = {}
        now = loop.time()
        for key in due & self._watched.keys():
            self._watched[key].read_at = now + _AFTER_FAILURE_SECONDS
            self._watched[key].publish(found.get(key, {}), now)


def _read_in_thread(wanted: dict[UUID, set[View]]) -> dict[UUID, dict[View, Snapshot]]:
    close_old_connections()
    try:
        return read_snapshots(wanted)
    finally:
        close_old_connections()


# --- the hub of each event loop ----------------------------------------------------------------------

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub_of_this_loop() -> Hub:
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def end_streams_on_sigterm(loop: asyncio.AbstractEventLoop, hub: Hub) -> None:
    """End the streams at SIGTERM, before the server's own handler: it waits for all answers to end.

    Does nothing outside the main thread, where no handler can be set, or if the server set none.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before):
        return

    def end_and_go_on(number: int, frame: FrameType | None) -> Any:
        if not loop.is_closed():
            loop.call_soon_threadsafe(hub.end_all)
        return before(number, frame)

    signal.signal(signal.SIGTERM, end_and_go_on)
