"""One running window: a process that a link starts shows the window that is already open, and ends."""

from __future__ import annotations

import contextlib
from pathlib import Path

from feexpay_client.core.filelock import FileLock


class Instance:
    """The running window of this data folder."""

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / "window.lock")
        self._wish = folder / "show-window"

    def claim(self) -> bool:
        """This process is the first. The system releases the claim when the process ends. Safe to repeat."""
        try:
            return self._lock.acquire()
        except OSError:
            return True  # without a lock a second window is better than none

    def ask_to_show(self) -> None:
        """Ask the first process to show its window. A full disk is ignored: the payer then switches by hand."""
        with contextlib.suppress(OSError):
            self._wish.touch(mode=0o600)

    def is_asked(self) -> bool:
        """Whether a later process asked since the last call."""
        try:
            self._wish.unlink()
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Safe to repeat."""
        self._lock.release()
