"""Once in a real window: an X server, key strokes, a mouse and a socket. Everything else is offscreen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from feexpay_client.ui.theme import LIGHT
from PIL import Image, ImageGrab

from tests.ui.served import served
from tests.ui.shop import Shop

_PATIENCE_SECONDS = 60.0


def until(condition: Callable[[], object], said: str) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, said
        time.sleep(0.05)


@pytest.fixture
def display() -> Iterator[str]:
    """An X server of our own. Missing tools fail the test: they are named, and skipping would hide it."""
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
        with os.fdopen(reading) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


class Person:
    """Hands and eyes at that display."""

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

    def sees(self) -> Image.Image:
        return ImageGrab.grab(xdisplay=self._display).convert("RGB")

    def sees_much_of(self, color: str, share: float) -> bool:
        wanted = tuple(int(color[place : place + 2], 16) for place in (1, 3, 5))
        picture = self.sees()
        counted = {pixel: count for count, pixel in picture.getcolors(1_000_000)}
        return counted.get(wanted, 0) >= share * picture.width * picture.height


def test_a_person_pays_by_keyboard_and_mouse_in_a_real_window(display: str, tmp_path: Path) -> None:
    shop = Shop()
    with served(shop) as address:
        client = subprocess.Popen(
            [sys.executable, "-m", "feexpay_client"],
            env={
                **os.environ,
                "DISPLAY": display,
                "SDL_VIDEODRIVER": "x11",
                "FEEXPAY_SERVER": address,
                "FEEXPAY_CLIENT_HOME": str(tmp_path),
                "KIVY_HOME": str(tmp_path / "kivy"),
                "KIVY_METRICS_DENSITY": "1",
            },
        )
        person = Person(display, client)
        try:
            _pay(person, shop)
        except AssertionError:
            person.sees().save(tmp_path / "seen.png")
            raise
        finally:
            client.terminate()
            client.wait(10)


def _pay(person: Person, shop: Shop) -> None:
    until(lambda: person.sees_much_of(LIGHT["primary"], 0.01), "the sign-in screen was not drawn")
    person.types("awa")  # the focus is there already
    person.presses("Tab")
    person.types("secret")
    person.presses("Return")
    until(lambda: shop.posts("auth/token/"), "signing in sent nothing")

    until(lambda: person.sees_much_of(LIGHT["hero"], 0.02), "no shop after signing in")
    until(lambda: person.sees_much_of(LIGHT["primary_soft"], 0.0005), "no packs")  # the sign of the best one
    person.presses("Tab", "Return")  # the first pack
    until(lambda: any(r.url.path.endswith("providers/") for r in shop.requests), "no ways to pay")
    until(lambda: not person.sees_much_of(LIGHT["hero"], 0.02), "the pack was not chosen")
    person.clicks(*_tile(person))
    person.types("0197000000")
    until(lambda: any(r.url.path.endswith("quote/") for r in shop.requests), "no price was asked for")
    until(lambda: person.sees_much_of(LIGHT["primary"], 0.01), "nothing to press")
    person.presses("Return")
    until(shop.posts, "nothing was paid")
    shop.settle()
    until(lambda: person.sees_much_of(LIGHT["primary_soft"], 0.004), "no receipt")

    assert len(shop.posts()) == 1
    assert b'"phone": "+2290197000000"' in shop.posts()[0].content


def _tile(person: Person) -> tuple[int, int]:
    """The middle of the tile with the background of MTN's badge: found as a person finds it, by its colour."""
    from feexpay_client.ui.theme import badge_background

    background = tuple(round(part * 255) for part in badge_background("#FFCB05", "mtn_bj")[:3])
    found: list[tuple[int, int]] = []

    def look() -> bool:
        picture = person.sees()
        width = picture.width
        pixels = enumerate(picture.getdata())
        found[:] = [(at % width, at // width) for at, pixel in pixels if _near(pixel, background)]
        return len(found) > 400

    until(look, "no tile of MTN")
    xs, ys = zip(*found, strict=True)
    return (min(xs) + max(xs)) // 2, (min(ys) + max(ys)) // 2


def _near(pixel: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(one - other) <= 1 for one, other in zip(pixel, wanted, strict=True))
