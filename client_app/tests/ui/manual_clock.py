"""A clock that only a test advances. Sleeps of less than a second end at once."""

from __future__ import annotations

import asyncio

from feexpay_client.core.states import Moment

from tests.ui.fake_shop import NOW


class ManualClock:
    """`advance` moves both clocks and ends the sleeps that are over."""

    def __init__(self) -> None:
        self.passed = 0.0
        self._waiting: list[tuple[float, asyncio.Event]] = []

    def moment(self) -> Moment:
        return Moment(1000.0 + self.passed, NOW.timestamp() + self.passed)

    async def sleep(self, seconds: float) -> None:
        if seconds < 1:
            return await asyncio.sleep(0)
        woken = asyncio.Event()
        self._waiting.append((self.passed + seconds, woken))
        await woken.wait()
        return None

    def advance(self, seconds: float) -> None:
        self.passed += seconds
        for at, woken in self._waiting:
            if at <= self.passed:
                woken.set()
        self._waiting = [(at, woken) for at, woken in self._waiting if at > self.passed]
