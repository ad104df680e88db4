"""Run another Kivy app frame by frame, without asyncio, as a host of the payment sheet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kivy.base import EventLoop
from kivy.core.window import Window

from tests.ui.driver import Driver


class HostDriver(Driver):
    """Drives whatever is on top of the window, without an event loop of its own."""

    @property
    def root(self) -> Any:
        return Window.children[0]

    def wait(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Draw frames until the condition is true. The time limit only ends a failing test."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.texts()
            EventLoop.idle()
        self.frames(2)
