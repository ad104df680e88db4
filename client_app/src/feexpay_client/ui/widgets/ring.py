"""A ring that turns while something is under way.

Its lines are made once and turned by the graphics card: making them anew each frame cost five times the
processor. It moves seven times a second, by seventeen degrees, only while it is on the screen, and not at all where
the payer wants stillness.
"""

from __future__ import annotations

from typing import Any

from kivy.clock import Clock
from kivy.properties import NumericProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import theme

_STEPS_A_SECOND = 7
_SECONDS_A_TURN = 3.0


class Ring(AnchorLayout):
    """`weight` is the width of its line in dp. Children stand in its middle."""

    tone = StringProperty("primary")
    weight = NumericProperty(3)
    angle = NumericProperty(0)
    sweep = NumericProperty(100)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._turning: Any = None
        # bind and not fbind: the theme lives longer than any ring and must not keep it.
        theme.bind(still=self._follow)

    def on_parent(self, *_args: object) -> None:
        self._follow()

    def _follow(self, *_args: object) -> None:
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None
        if self.parent is not None and not theme.still:
            self._turning = Clock.schedule_interval(self._turn, 1 / _STEPS_A_SECOND)

    def _turn(self, seconds: float) -> bool | None:
        if self.get_root_window() is None:
            self._turning = None
            return False
        # What another screen covers for a moment need not be drawn; the step is bounded so that a pause shows no jump.
        self.angle = (self.angle - 360 * min(seconds, 0.2) / _SECONDS_A_TURN) % 360
        return None


load_kv(__file__)
