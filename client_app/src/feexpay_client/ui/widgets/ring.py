"""A ring: it turns while the wait has no known end, else it shows the share of the time that is left.

Its lines are created once and rotated by the graphics card: creating them each frame took five times the CPU. It
moves seven times a second, only while it is on the screen, and not with reduced motion.
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
#: Degrees of the arc that turns.
_ARC = 100


class FeexPayRing(AnchorLayout):
    """`weight` is the line width in dp; `share` from 0 to 1, or -1 to turn. Children are centred inside."""

    tone = StringProperty("primary")
    weight = NumericProperty(3)
    angle = NumericProperty(0)
    sweep = NumericProperty(_ARC)
    share = NumericProperty(-1)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._rotation: Any = None
        # bind, not fbind: fbind would keep every ring alive as long as the theme.
        theme.bind(reduced_motion=self._start_or_stop)

    def on_parent(self, *_args: object) -> None:
        self._start_or_stop()

    def on_share(self, *_args: object) -> None:
        if self.share >= 0:
            self.angle, self.sweep = 0, max(1, 360 * min(1, self.share))
        elif self.sweep != _ARC:
            self.sweep = _ARC
        self._start_or_stop()

    def _start_or_stop(self, *_args: object) -> None:
        turns = self.parent is not None and self.share < 0 and not theme.reduced_motion
        if self._rotation is not None and not turns:
            self._rotation.cancel()
            self._rotation = None
        if self._rotation is None and turns:
            self._rotation = Clock.schedule_interval(self._rotate, 1 / _STEPS_A_SECOND)

    def _rotate(self, seconds: float) -> bool | None:
        if self.get_root_window() is None:
            self._rotation = None
            return False
        # Limit the step, so that the ring does not jump after a pause.
        self.angle = (self.angle - 360 * min(seconds, 0.2) / _SECONDS_A_TURN) % 360
        return None


load_kv(__file__)
