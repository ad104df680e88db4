"""A real window under Xvfb, used with keyboard and mouse, seen through screenshots. No Kivy in this process."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image, ImageGrab

_TIMEOUT_SECONDS = 60.0


def until(condition: Callable[[], object], problem: str, pause: float = 0.05) -> None:
    end = time.monotonic() + _TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < end, problem
        time.sleep(pause)


@contextmanager
def open_display() -> Iterator[str]:
    """Start an X server. Missing tools fail the test, because a skip would go unnoticed."""
    missing = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
    assert missing == [], "apt-get install xvfb xdotool"
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(writing),
            "-screen",
            "0",
            "1024x900x24",
        ],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as output:
            yield f":{output.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


class DesktopUser:
    """Types, clicks and takes screenshots on that display, with xdotool."""

    def __init__(self, display: str, client: subprocess.Popen[bytes]) -> None:
        self._display = display
        self._environment = {**os.environ, "DISPLAY": display}
        until(lambda: self._do("search", "--pid", str(client.pid)), "no window appeared")
        self._window = self._do("search", "--pid", str(client.pid)).split()[-1]
        self._do("windowfocus", "--sync", self._window)

    def _do(self, *command: str) -> str:
        done = subprocess.run(["xdotool", *command], env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout

    def types(self, text: str) -> None:
        self._do("type", "--delay", "30", text)

    def presses(self, *keys: str) -> None:
        self._do("key", "--delay", "60", *keys)

    def clicks(self, x: int, y: int) -> None:
        self._do("mousemove", str(x), str(y), "sleep", "0.1", "click", "1")

    def screenshot(self) -> Image.Image:
        return ImageGrab.grab(xdisplay=self._display).convert("RGB")

    def shows_color(self, color: str, share: float) -> bool:
        wanted = tuple(int(color[place : place + 2], 16) for place in (1, 3, 5))
        picture = self.screenshot()
        counted = {pixel: count for count, pixel in picture.getcolors(1_000_000)}
        return counted.get(wanted, 0) >= share * picture.width * picture.height
