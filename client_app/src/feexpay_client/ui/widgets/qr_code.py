"""A QR code, drawn from rectangles: a desktop's payer opens the payment page on the phone with it."""

from __future__ import annotations

from typing import Any

import segno
from kivy.graphics import Color, Rectangle
from kivy.properties import StringProperty
from kivy.uix.widget import Widget

#: Scanners need white around the code, four modules wide.
_QUIET = 4


class FeexPayQrCode(Widget):
    """The code of `text`, always dark on white. Empty text draws nothing."""

    text = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("text", "pos", "size"):
            self.fbind(name, self._draw)
        self._draw()

    def _draw(self, *_args: object) -> None:
        self.canvas.clear()
        if not self.text:
            return
        rows = segno.make_qr(self.text, error="m").matrix
        modules = len(rows) + 2 * _QUIET
        side = int(min(self.size) // modules)
        # `center` would still be the old one: its own binding to x and y may come after ours.
        left = int(self.x + (self.width - side * modules) / 2)
        top = int(self.y + (self.height + side * modules) / 2)
        with self.canvas:
            Color(1, 1, 1)
            Rectangle(pos=(left, top - side * modules), size=(side * modules,) * 2)
            Color(0, 0, 0)
            for row, dark in enumerate(rows, _QUIET):
                for start, end in _runs(dark):
                    at = left + side * (start + _QUIET), top - side * (row + 1)
                    Rectangle(pos=at, size=(side * (end - start), side))


def _runs(row: Any) -> list[tuple[int, int]]:
    """The dark stretches of a row, so that one rectangle draws several modules."""
    found: list[tuple[int, int]] = []
    for column, dark in enumerate(row):
        if dark and found and found[-1][1] == column:
            found[-1] = (found[-1][0], column + 1)
        elif dark:
            found.append((column, column + 1))
    return found
