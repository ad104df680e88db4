"""The secrets of a source, kept in memory and read again in time."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from django_feexpay.private import PrivateDict
from django_feexpay.secrets.source import SecretsError

logger = logging.getLogger("django_feexpay.secrets")

#: After a failure the source is asked again after this time.
RETRY_SECONDS = 30.0
#: However often FeexPay refuses a key, the source is asked at most once in this time.
FORCED_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class State:
    """What the diagnosis shows. `age_seconds`: of the values in use. `problem`: why the last read failed, else ""."""

    age_seconds: float
    problem: str


@dataclass(frozen=True, slots=True)
class _Snapshot:
    values: Mapping[str, str] = field(repr=False)
    read_at: float


class SecretsCache:
    """What `read` returned, at most `ttl_seconds` old, or older while the source does not answer.

    Safe to share by threads, and across a fork. One thread at a time reads; the others use what is there.
    """

    def __init__(self, read: Callable[[], Mapping[str, str]], ttl_seconds: float) -> None:
        self._read, self._ttl_seconds = read, ttl_seconds
        self._snapshot: _Snapshot | None = None
        self._due_at = self._forced_at = -float("inf")
        self._problem = ""
        self._lock, self._pid = threading.Lock(), os.getpid()

    def values(self, *, may_read: Callable[[], bool] = lambda: True) -> Mapping[str, str]:
        """The secrets. `may_read`: whether this is a good moment to ask the source; asked only when they are due.

        Raises: SecretsError if they were never read.
        """
        if self._snapshot is None:
            with self._own_lock():
                if self._snapshot is None:
                    self._snapshot = self._fresh()
        elif time.monotonic() >= self._due_at and may_read() and (lock := self._own_lock()).acquire(blocking=False):
            try:
                self._try_to_read()
            finally:
                lock.release()
        return self._snapshot.values

    def refresh(self) -> None:
        """Read now, because a secret was refused. Threads that ask at the same time wait for one read.

        Safe to repeat: yes, it reads at most once in FORCED_EVERY_SECONDS.
        """
        with self._own_lock():
            if time.monotonic() - self._forced_at >= FORCED_EVERY_SECONDS:
                self._forced_at = time.monotonic()
                self._try_to_read()

    def state(self) -> State | None:
        """None before the first read."""
        if self._snapshot is None:
            return None
        return State(time.monotonic() - self._snapshot.read_at, self._problem)

    def _try_to_read(self) -> None:
        """Read, or keep the last values and say so in the log."""
        try:
            self._snapshot = self._fresh()
        except SecretsError as error:
            self._problem = str(error)
            self._due_at = time.monotonic() + min(RETRY_SECONDS, self._ttl_seconds)
            logger.error("the last secrets are kept: %s", error)

    def _fresh(self) -> _Snapshot:
        started = time.monotonic()
        values = PrivateDict(self._read())
        self._problem = ""
        self._due_at = time.monotonic() + self._ttl_seconds
        return _Snapshot(values, started)

    def _own_lock(self) -> threading.Lock:
        """A lock of this process: a fork copies it as it is, perhaps held by a thread that the child does not have."""
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
        return self._lock
