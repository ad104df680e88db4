"""Measure start time, CPU and memory of the client, offscreen, against the fake shop.

`python -m tests.bench [--gate]`, from client_app. Prints each figure with its goal. `--gate`: exit with 1 if a goal is
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.ui.offscreen import prepare

prepare()

from kivy.config import Config  # noqa: E402 -- the window must be prepared first

for _name, _value in {"width": 440, "height": 800, "maxfps": 60}.items():
    Config.set("graphics", _name, str(_value))

from kivy.clock import Clock  # noqa: E402
from kivy.core.window import Window  # noqa: E402

from tests.ui.app import make_app, store_session  # noqa: E402
from tests.ui.fake_shop import FakeShop  # noqa: E402

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SECONDS = 5.0
_POLLS = 4
_CHANGES = 200


def since_start() -> float:
    """Seconds since this process started, including imports."""
    began = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - began


def memory() -> float:
    """Resident memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6


class Bench:
    """Runs the app and reports each measurement with its goal."""

    def __init__(self) -> None:
        self.missed = 0
        self.shop = FakeShop()
        self.running: asyncio.Task[None] | None = None
        self.app = make_app(Path(tempfile.mkdtemp()), self.shop, reduced_motion=False)

    def report(self, name: str, value: float, unit: str, goal: float) -> None:
        self.missed += value > goal
        verdict = "" if value <= goal else "   MISSED"
        print(f"{name:48}{value:10.2f} {unit:6} goal {goal:g} {unit}{verdict}", flush=True)

    async def until(self, condition: Any) -> None:
        while not condition():
            if self.running is not None and self.running.done():
                self.running.result()
            await asyncio.sleep(0.01)

    async def processor(self) -> float:
        """CPU use in percent of one core."""
        await asyncio.sleep(1)
        begun, used = time.monotonic(), time.process_time()
        await asyncio.sleep(_SECONDS)
        return 100 * (time.process_time() - used) / (time.monotonic() - begun)

    async def frames(self) -> list[float]:
        """CPU milliseconds of each drawn frame, from its events to the picture.

        Not the time between frames: the spinner moves only seven times a second, and the machine may be busy.
        """
        drawn: list[float] = []
        begun = [time.process_time()]
        turn = Clock.post_idle

        def begin(*args: Any) -> Any:
            begun[0] = time.process_time()
            return turn(*args)

        def note(*_args: object) -> None:
            drawn.append(1000 * (time.process_time() - begun[0]))

        Clock.post_idle = begin
        Window.bind(on_flip=note)
        for _ in range(_POLLS):
            self.app.waiting.check_now()
            await asyncio.sleep(2)
        Window.unbind(on_flip=note)
        del Clock.post_idle
        return drawn

    async def change_screens(self, times: int) -> None:
        for turn in range(times):
            self.app.go(("home", "history", "settings")[turn % 3])
            await asyncio.sleep(0.02)

    async def measure(self) -> None:
        app = self.app
        await self.until(lambda: app.home.state == "ready")
        await asyncio.sleep(0.5)
        self.report("at rest, processor", await self.processor(), "%", 5)
        self.report("memory after the first screen", memory(), "MB", 220)
        await self.change_screens(60)  # fill the caches first
        gc.collect()
        before = memory()
        await self.change_screens(_CHANGES)
        gc.collect()
        self.report(f"memory grown over {_CHANGES} changes of screen", memory() - before, "MB", 8)
        await self.pay()
        self.report("waiting with spinner and countdown, processor", await self.processor(), "%", 10)
        times = sorted(await self.frames())
        self.report("waiting and polling every 2 s, frame p95", times[int(len(times) * 0.95)], "ms", 33)
        print(f"{'  frames':48}{len(times):10d}, median {statistics.median(times):.1f} ms")
        self.report("memory at the end", memory(), "MB", 220)

    async def pay(self) -> None:
        app = self.app
        app.go("home")
        app.home.choose_pack("champion")
        await self.until(lambda: app.providers.tiles)
        app.root.screen._pick("mtn_bj")
        app.form.phone = "01 97 00 00 00"
        await self.until(lambda: app.form.can_pay)
        app.form.pay()
        await self.until(lambda: app.waiting.kind == "phone" and app.showing == "status")

    async def run(self) -> int:
        await store_session(self.app)
        seen: list[float] = []
        Window.bind(on_flip=lambda *_: seen.append(since_start()) if not seen else None)
        self.running = asyncio.create_task(self.app.async_run(async_lib="asyncio"))
        await self.until(lambda: seen)
        self.report("first frame, from the start of the process", seen[0], "s", 1)
        await self.measure()
        self.app.stop()
        await self.running
        await self.app.close()
        return self.missed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--gate", action="store_true", help="exit with 1 if a goal is missed")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"client · Python {sys.version.split()[0]} · {os.cpu_count()} cores · load {load:.1f}")
    try:
        missed = asyncio.run(Bench().run())
    except KeyboardInterrupt:
        print("interrupted: only the figures above were measured")
        return 130
    print(f"{missed} goals missed")
    return int(options.gate and missed > 0)


if __name__ == "__main__":
    sys.exit(main())
