"""The example game in a real window, against the real shop: bought in by keyboard and mouse, killed, started again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feexpay_client.core.theme import LIGHT

from tests.desktop import DesktopUser, until
from tests.e2e.real_server import ROOT, RealServer

GAME = ROOT / "client_app" / "examples" / "coin_game.py"
#: The middle of "50 coins, 500 F CFA": Kivy puts its window of 800 × 600 pixels in the middle of the screen.
_BUY = (512, 384)
#: The share of the screen that the sheet's background has, that the row of the country and the tiles have together (the
#: row is there before the tiles), and that the receipt's tick has.
_SHEET_SHARE, _TILES_SHARE, _RECEIPT_SHARE = 0.15, 0.08, 0.004


class GameWindow:
    """A running game, seen and used by its player."""

    def __init__(self, user: DesktopUser, process: subprocess.Popen[bytes]) -> None:
        self._user, self._process = user, process

    @property
    def sheet_is_open(self) -> bool:
        return self._user.shows_color(LIGHT["background"], _SHEET_SHARE)

    def buy(self) -> None:
        self._user.clicks(*_BUY)
        until(lambda: self.sheet_is_open, "no sheet over the game")
        until(lambda: self._user.shows_color(LIGHT["surface"], _TILES_SHARE), "no ways to pay")

    def type_number(self, number: str) -> None:
        """Past the close button and the country, to the first way to pay, and into the field that takes the focus."""
        self._user.presses("Tab", "Tab", "Tab", "Return")
        until(lambda: self._user.shows_color(LIGHT["primary"], 0.01), "no form")
        until(lambda: self._user.shows_color(LIGHT["focus"], 0.0005), "no field has the focus")
        self._user.types(number)
        until(lambda: self._user.shows_color(LIGHT["primary"], 0.01), "no button to pay with")

    def pay(self) -> None:
        self._user.presses("Return")

    def see_receipt(self) -> None:
        until(lambda: self._user.shows_color(LIGHT["primary_soft"], _RECEIPT_SHARE), "no receipt")

    def close_receipt(self) -> None:
        self._user.presses("Escape")
        until(lambda: not self.sheet_is_open, "the sheet does not close")

    def see_game(self) -> None:
        """The game's own grey buttons, with nothing over them."""
        until(lambda: self._user.shows_color("#585858", 0.2), "the game was not drawn")
        assert not self.sheet_is_open

    def see_sheet(self) -> None:
        until(lambda: self.sheet_is_open, "the sheet does not open by itself")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(60)


@contextmanager
def game_window(display: str, server: RealServer, player: str, home: Path) -> Iterator[GameWindow]:
    """Start the game; at the end it is killed if it still runs, and on a failure its window is saved in `home`."""
    process = subprocess.Popen(
        [sys.executable, str(GAME), server.shop, server.tokens[player]],
        env={
            **os.environ,
            "DISPLAY": display,
            "SDL_VIDEODRIVER": "x11",
            "XDG_CONFIG_HOME": str(home),
            "KIVY_HOME": str(home / "kivy"),
            "KIVY_LOG_MODE": "PYTHON",
            "KIVY_METRICS_DENSITY": "1",
            "KIVY_NO_ARGS": "1",
            "KIVY_NO_CONFIG": "1",
            "KIVY_NO_FILELOG": "1",
        },
    )
    user = DesktopUser(display, process)
    try:
        yield GameWindow(user, process)
    except AssertionError:
        user.screenshot().save(home / "seen.png")
        raise
    finally:
        process.kill()
        process.wait(60)
