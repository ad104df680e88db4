"""A log file that several processes share: at most 10 files of 10 MB, and no line older than 30 days.

A file is full after 10 MB or after three days, so ten of them hold 30 days. `logging.handlers.RotatingFileHandler` is
for one process: two would rename each other's files and lose lines.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where only one process may write the file
    fcntl = None  # type: ignore[assignment]

MAX_BYTES = 10 * 1000 * 1000
MAX_FILES = 10
MAX_DAYS = 30

_DAY_SECONDS = 24 * 3600
#: How often the ages of the files are looked at.
_AGES_EVERY_SECONDS = 600.0


class RotatingLogFile(WatchedFileHandler):
    """Renames a full file to `<name>.1`, `.1` to `.2` and so on, under a lock of all processes, and deletes old ones.

    Every process notices before its next line that the file was renamed, and opens the new one.
    """

    def __init__(
        self,
        filename: str,
        *,
        max_bytes: int = MAX_BYTES,
        max_files: int = MAX_FILES,
        max_days: int = MAX_DAYS,
        delay: bool = False,
    ) -> None:
        super().__init__(filename, encoding="utf-8", delay=delay)
        self._path = Path(self.baseFilename)
        self._max_bytes, self._max_files, self._max_seconds = max_bytes, max_files, max_days * _DAY_SECONDS
        self._ages_checked_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            now = time.time()
            if self._size() >= self._max_bytes:
                self._rotate(now)
            if not 0 <= now - self._ages_checked_at < _AGES_EVERY_SECONDS:
                self._ages_checked_at = now
                self._rotate(now)
                self._delete_old(now)
        except OSError:
            self.handleError(record)
        super().emit(record)

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _rotate(self, now: float) -> None:
        """Rename the file if it is full, unless another process has done it already."""
        with self._locked() as lock:
            size = self._size()
            is_old = now - lock.stat().st_mtime >= self._max_seconds / self._max_files
            if size < self._max_bytes and not (size and is_old):
                return
            for number in range(self._max_files - 2, 0, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number).replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
            os.utime(lock, (now, now))

    def _delete_old(self, now: float) -> None:
        for number in range(1, self._max_files):
            with suppress(FileNotFoundError):
                if now - self._numbered(number).stat().st_mtime > self._max_seconds:
                    self._numbered(number).unlink()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        """Hold the lock file, whose time is that of the last rotation."""
        path = self._path.with_name(f".{self._path.name}.lock")
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(lock)  # which frees the lock
