"""Runs a module in a process that ends with the demo, however the demo ends.

The demo holds the other end of our standard input. It closes when the demo dies, kill -9 included: no exit handler
of the demo could promise that.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

_TIMEOUT_SECONDS = 2.0


def _end_with_the_demo() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_TIMEOUT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_demo, daemon=True).start()
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
