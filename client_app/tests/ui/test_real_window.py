"""One payment in a real window, with an X server, keyboard, mouse and socket."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from feexpay_client.ui.theme import LIGHT

from tests.desktop import DesktopUser, open_display, until
from tests.ui.fake_shop import FakeShop
from tests.ui.fake_shop_server import serve


@pytest.fixture
def display() -> Iterator[str]:
    with open_display() as opened:
        yield opened


def test_payment_by_keyboard_and_mouse_in_a_real_window(display: str, tmp_path: Path) -> None:
    shop = FakeShop()
    with serve(shop) as address:
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
        user = DesktopUser(display, client)
        try:
            _pay(user, shop)
        except AssertionError:
            user.screenshot().save(tmp_path / "seen.png")
            raise
        finally:
            client.terminate()
            client.wait(60)


def _pay(user: DesktopUser, shop: FakeShop) -> None:
    until(lambda: user.shows_color(LIGHT["primary"], 0.01), "the sign-in screen was not drawn")
    user.types("awa")  # the field already has the focus
    user.presses("Tab")
    user.types("secret")
    user.presses("Return")
    until(lambda: shop.posts("auth/token/"), "signing in sent nothing")

    until(lambda: user.shows_color(LIGHT["hero"], 0.02), "no shop after signing in")
    until(lambda: user.shows_color(LIGHT["primary_soft"], 0.0005), "no packs")  # the tag of the best pack
    user.presses("Tab", "Return")  # the first pack
    until(lambda: any(r.url.path.endswith("providers/") for r in shop.requests), "no ways to pay")
    until(lambda: not user.shows_color(LIGHT["hero"], 0.02), "the pack was not chosen")
    user.clicks(*_tile(user))
    user.types("0197000000")
    until(lambda: any(r.url.path.endswith("quote/") for r in shop.requests), "no price was asked for")
    until(lambda: user.shows_color(LIGHT["primary"], 0.01), "nothing to press")
    user.presses("Return")
    until(shop.posts, "nothing was paid")
    shop.settle()
    until(lambda: user.shows_color(LIGHT["primary_soft"], 0.004), "no receipt")

    assert len(shop.posts()) == 1
    assert b'"phone": "+2290197000000"' in shop.posts()[0].content


def _tile(user: DesktopUser) -> tuple[int, int]:
    """The middle of the MTN tile, found by the colour of its badge."""
    from feexpay_client.ui.theme import badge_background

    background = tuple(round(part * 255) for part in badge_background("#FFCB05", "mtn_bj")[:3])
    found: list[tuple[int, int]] = []

    def find_badge() -> bool:
        picture = user.screenshot()
        width = picture.width
        pixels = enumerate(picture.getdata())
        found[:] = [(at % width, at // width) for at, pixel in pixels if _near(pixel, background)]
        return len(found) > 400

    until(find_badge, "no tile of MTN")
    xs, ys = zip(*found, strict=True)
    return (min(xs) + max(xs)) // 2, (min(ys) + max(ys)) // 2


def _near(pixel: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(one - other) <= 1 for one, other in zip(pixel, wanted, strict=True))
