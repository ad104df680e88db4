"""Ends a server and removes its folder when the process that started it has ended, for any reason.

Run `python watcher.py FOLDER PID_FILE SIGNAL` with a pipe as stdin. The pipe is closed when its writer closes it or
ends. This also works after kill -9, when no exit handler of the writer runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path

TIMEOUT_SECONDS = 60


def main(folder: Path, pid_file: Path, signal_number: int) -> None:
    sys.stdin.read()
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.kill(int(pid_file.read_text().split()[0]), signal_number)
        _wait_until_gone(pid_file)
    shutil.rmtree(folder, ignore_errors=True)


def _wait_until_gone(pid_file: Path) -> None:
    # The file is checked and not the process: the process may become a zombie, which still accepts signal 0.
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while pid_file.exists() and time.monotonic() < give_up_at:
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
