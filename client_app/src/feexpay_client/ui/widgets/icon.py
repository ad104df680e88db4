"""Icons drawn as lines, because Roboto has no tick, cross or arrow."""

from __future__ import annotations

from math import cos, pi, sin
from typing import Any, Final

from kivy.clock import Clock
from kivy.graphics import Color, SmoothLine
from kivy.metrics import dp
from kivy.properties import ColorProperty, NumericProperty, StringProperty
from kivy.uix.widget import Widget

from feexpay_client.ui.kv import load_kv

Points = tuple[tuple[float, float], ...]


def arc(x: float, y: float, radius: float, start: float = 0, end: float = 360) -> Points:
    """Part of a circle, in degrees anticlockwise from three o'clock."""
    steps = max(6, int(abs(end - start) / 12))
    angles = ((start + (end - start) * step / steps) * pi / 180 for step in range(steps + 1))
    return tuple((x + radius * cos(angle), y + radius * sin(angle)) for angle in angles)


def box(left: float, bottom: float, right: float, top: float, corner: float = 2) -> Points:
    """A rectangle with round corners."""
    return (
        *arc(right - corner, top - corner, corner, 0, 90),
        *arc(left + corner, top - corner, corner, 90, 180),
        *arc(left + corner, bottom + corner, corner, 180, 270),
        *arc(right - corner, bottom + corner, corner, 270, 360),
        (right, top - corner),
    )


def _meridian(side: int) -> Points:
    """The left (-1) or right (1) half of the globe icon's narrow ellipse."""
    angles = (step * pi / 12 for step in range(-6, 7))
    return tuple((12 + 4.2 * side * cos(angle), 12 + 9 * sin(angle)) for angle in angles)


def dot(x: float, y: float) -> Points:
    return arc(x, y, 0.35)


#: Strokes on a 24 × 24 square, y upwards.
STROKES: Final[dict[str, tuple[Points, ...]]] = {
    "tick": (((5, 12.5), (10, 7.5), (19.5, 17)),),
    "cross": (((6, 6), (18, 18)), ((6, 18), (18, 6))),
    "back": (((15, 5), (8, 12), (15, 19)),),
    "forward": (((9, 5), (16, 12), (9, 19)),),
    "down": (((5, 15), (12, 8), (19, 15)),),
    "phone": (box(6.5, 2.5, 17.5, 21.5, 2.5), ((10.5, 5.5), (13.5, 5.5))),
    "refresh": ((*arc(11.5, 12, 8, -20, -312), (21.5, 14)), ((21.5, 19.5), (21.5, 14), (16, 14))),
    "clock": (arc(12, 12, 9), ((12, 17), (12, 12), (15.5, 10))),
    "coin": (arc(12, 12, 9), arc(12, 12, 5.5)),
    "bag": (box(4, 3.5, 20, 16, 2.5), ((8, 13), (8, 16)), arc(12, 16, 4, 0, 180), ((16, 13), (16, 16))),
    "list": (
        *(((9, y), (20, y)) for y in (6, 12, 18)),
        *(dot(4.5, y) for y in (6, 12, 18)),
    ),
    "sliders": (
        ((4, 17), (12.5, 17)),
        ((17.5, 17), (20, 17)),
        arc(15, 17, 2.4),
        ((4, 7), (6.5, 7)),
        ((11.5, 7), (20, 7)),
        arc(9, 7, 2.4),
    ),
    "search": (arc(10.5, 13.5, 6.5), ((15.3, 8.7), (20.5, 3.5))),
    "copy": (box(8.5, 3, 20, 15.5), ((15.5, 19), (15.5, 21), (4, 21), (4, 8.5), (5.5, 8.5))),
    "save": (((12, 20.5), (12, 8)), ((7, 12.5), (12, 7.5), (17, 12.5)), ((4, 7), (4, 3.5), (20, 3.5), (20, 7))),
    "open": (
        ((13.5, 20), (20, 20), (20, 13.5)),
        ((20, 20), (11, 11)),
        ((17.5, 10), (17.5, 4), (4, 4), (4, 17.5), (10, 17.5)),
    ),
    "alert": (arc(12, 12, 9), ((12, 17), (12, 11)), dot(12, 7.7)),
    "info": (arc(12, 12, 9), ((12, 12.5), (12, 7.5)), dot(12, 16.2)),
    "offline": (arc(12, 4.5, 13, 50, 130), arc(12, 4.5, 7.5, 50, 130), dot(12, 5), ((4.5, 3.5), (19.5, 20.5))),
    "globe": (arc(12, 12, 9), ((3, 12), (21, 12)), _meridian(1), _meridian(-1)),
    "user": (arc(12, 16, 4.2), arc(12, 2, 8.2, 15, 165)),
    "lock": (box(5, 3, 19, 13.5), ((8, 13.5), (8, 16.5)), arc(12, 16.5, 4, 0, 180), ((16, 16.5), (16, 13.5))),
    "eye": (arc(12, 12, 3), arc(12, 6.5, 11, 30, 150), arc(12, 17.5, 11, 210, 330)),
    "filter": (((4, 18), (20, 18)), ((7, 12), (17, 12)), ((10, 6), (14, 6))),
    "plus": (((12, 5), (12, 19)), ((5, 12), (19, 12))),
    "key": (arc(8, 12, 4.5), ((12.5, 12), (21, 12), (21, 8.5)), ((17, 12), (17, 9))),
}  # fmt: skip


class FeexPayIcon(Widget):
    """One icon of `STROKES` in a colour of the theme. `weight`: line width in dp at a size of 24 dp."""

    name = StringProperty("tick")
    tone = StringProperty("ink")
    color = ColorProperty("#000000")
    weight = NumericProperty(1.15)

    def __init__(self, **kwargs: Any) -> None:
        self._color: Color | None = None
        # At most once per frame, after the layout.
        self.redraw = Clock.create_trigger(self._redraw, -1)
        super().__init__(**kwargs)

    def _redraw(self, _seconds: float) -> None:
        """Draw the lines for a new name, position or size. A new colour needs only `recolor`."""
        self.canvas.clear()
        if self.name not in STROKES:
            return
        side = min(self.width, self.height)
        scale, left, bottom = side / 24, self.x + (self.width - side) / 2, self.y + (self.height - side) / 2
        with self.canvas:
            self._color = Color(rgba=self.color)
            for stroke in STROKES[self.name]:
                points = [part for x, y in stroke for part in (left + x * scale, bottom + y * scale)]
                SmoothLine(points=points, width=max(dp(0.9), self.weight * scale), cap="round", joint="round")

    def recolor(self) -> None:
        if self._color is not None:
            self._color.rgba = self.color


load_kv(__file__)
