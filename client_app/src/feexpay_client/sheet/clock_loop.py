"""Run asyncio inside Kivy's own loop, for apps that start with `App().run()`.

Kivy's clock steps an event loop on the same thread, 30 times a second. So nothing needs a lock, and a button may call
the flow directly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from kivy.clock import Clock

_STEPS_A_SECOND = 30
#: A request takes several rounds of the loop. More time than this in one step would delay a frame.
_LONGEST_STEP_SECONDS = 0.004
_MOST_ROUNDS = 25


class ClockLoop:
    """`loop` is the app's running loop if it has one (`App().async_run()`), else a loop stepped by Kivy's clock."""

    def __init__(self) -> None:
        self._step_event: Any = None
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = asyncio.new_event_loop()
            self._step_event = Clock.schedule_interval(self._step, 1 / _STEPS_A_SECOND)

    @property
    def stepped(self) -> bool:
        return self._step_event is not None

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work to its end now, if the loop is stepped; else start it on the app's loop. The app is closing."""
        if self.stepped:
            self._step_event.cancel()
            self.loop.run_until_complete(work)
            self.loop.close()
        else:
            self._last = self.loop.create_task(work)

    def close(self) -> None:
        """Stop stepping, between two steps. Safe to repeat. An app's own loop goes on."""
        if self._step_event is not None:
            self._step_event.cancel()
            # A lambda, because Kivy keeps only weak references to methods.
            Clock.schedule_once(lambda _seconds: self.loop.close(), 0)

    def _step(self, _seconds: float) -> None:
        end = time.monotonic() + _LONGEST_STEP_SECONDS
        for _ in range(_MOST_ROUNDS):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            if time.monotonic() > end:
                return
