"""The theme on the screen: Kivy properties of one `Theme` value, so that a change redraws the screen.

Widgets take colours and sizes only from `theme`. A process shows one theme at a time, because a window shows one
payment at a time: `theme.use(...)` replaces it.
"""

from __future__ import annotations

import colorsys
from typing import Any, Final

from kivy.event import EventDispatcher
from kivy.metrics import dp, sp
from kivy.properties import BooleanProperty, ColorProperty, NumericProperty, OptionProperty, StringProperty
from kivy.utils import get_color_from_hex

from feexpay_client.core.theme import DARK, LIGHT, READABLE, TYPE, Theme, contrast, luminance

__all__ = ["DARK", "LIGHT", "READABLE", "TYPE", "Theme", "badge_background", "contrast", "luminance", "space", "theme"]

TEXT_SIZES: Final = (1.0, 1.15, 1.3, 1.5)
TARGET_DP: Final = 48
WIDE_DP: Final = 840


class Space:
    """Spacing in pixels. Properties, because the screen's density is not known at import."""

    xxs = property(lambda self: dp(4))
    xs = property(lambda self: dp(8))
    sm = property(lambda self: dp(12))
    md = property(lambda self: dp(16))
    lg = property(lambda self: dp(24))
    xl = property(lambda self: dp(32))
    target = property(lambda self: dp(TARGET_DP))
    control = property(lambda self: dp(52))
    radius = property(lambda self: dp(theme.value.radius))
    hairline = property(lambda self: max(1.0, dp(1)))


space = Space()


class ShownTheme(EventDispatcher):
    """The colours and sizes on the screen. `mode` is never "system": `appearance` resolves that."""

    value: Theme
    mode = OptionProperty("light", options=["light", "dark"])
    scale = NumericProperty(1.0)
    reduced_motion = BooleanProperty(False)
    font_name = StringProperty("Roboto")
    for _name, _color in LIGHT.items():
        locals()[_name] = ColorProperty(_color)
    del _name, _color

    def __init__(self, value: Theme) -> None:
        super().__init__()
        self.value = value

    def use(self, value: Theme) -> None:
        """Show that theme. Call it before the widgets are built: a radius and a logo are read once."""
        self.value = value
        self.font_name = value.font
        self.on_mode(self, self.mode)

    def on_mode(self, _theme: ShownTheme, mode: str) -> None:
        for name, color in (self.value.dark if mode == "dark" else self.value.light).items():
            setattr(self, name, color)

    def font(self, style: str, scale: float) -> float:
        """Font size in pixels of a style of `TYPE`. kv passes `scale` so that the rule runs again when it changes."""
        # Large styles grow half as much: at 150 % an amount in 60 sp would not fit on a phone.
        size = self.value.sizes[style]
        growth = scale if size <= 19 else 1 + (scale - 1) * 0.5
        return float(sp(size * growth))

    def tone(self, name: str, _mode: str) -> Any:
        """The colour of a token. kv passes the mode so that the rule runs again when it changes."""
        return getattr(self, name)


def badge_background(color: str, key: str = "") -> list[float]:
    """A dark background of about that hue on which white text is readable.

    An invalid colour is replaced by a hue computed from `key`.
    """
    try:
        hue, lightness, saturation = colorsys.rgb_to_hls(*get_color_from_hex(color)[:3])
    except (ValueError, IndexError, TypeError):
        hue, lightness, saturation = (sum(map(ord, key)) * 47 % 360) / 360, 0.4, 0.5
    saturation = min(saturation, 0.62)
    lightness = min(lightness, 0.40)
    while contrast(colorsys.hls_to_rgb(hue, lightness, saturation), (1, 1, 1)) < 5:
        lightness -= 0.01
    return [*colorsys.hls_to_rgb(hue, lightness, saturation), 1]


theme: ShownTheme = ShownTheme(Theme())
