"""Waiting for what a loop does, without betting on how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Let the loop run until it holds. Raises AssertionError when it never does."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it never came to hold"
        await asyncio.sleep(0.002)
