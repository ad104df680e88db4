"""Colours for light and dark, font sizes and spacing.

Widgets take colours and sizes only from `theme`, so a change of mode or text size redraws the screen.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any, Final

from kivy.event import EventDispatcher
from kivy.metrics import dp, sp
from kivy.properties import BooleanProperty, ColorProperty, NumericProperty, OptionProperty
from kivy.utils import get_color_from_hex

LIGHT: Final = {
    "background": "#F5F6F4",
    "surface": "#FFFFFF",
    "sunken": "#ECEFEC",
    "ink": "#14181B",
    "muted": "#566069",
    "border": "#D8DDD9",
    "primary": "#0B6B4D",
    "primary_ink": "#FFFFFF",
    "primary_soft": "#DFF1E9",
    "danger": "#B3261E",
    "danger_ink": "#FFFFFF",
    "danger_soft": "#FCE8E6",
    "warning": "#7A4A00",
    "warning_soft": "#FFF1D6",
    "info": "#174EA6",
    "info_soft": "#E4EDFB",
    "hero": "#0A4A38",
    "hero_ink": "#FFFFFF",
    "hero_muted": "#B9DCCF",
    "gold": "#E8B84A",
    "badge_ink": "#FFFFFF",
    "focus": "#1A5FD6",
    "scrim": "#0B0F1299",
}
DARK: Final = {
    "background": "#0E1113",
    "surface": "#171C1F",
    "sunken": "#22292D",
    "ink": "#ECF0EE",
    "muted": "#9DA9AE",
    "border": "#323B40",
    "primary": "#4CC79C",
    "primary_ink": "#05231A",
    "primary_soft": "#14342A",
    "danger": "#FF8A80",
    "danger_ink": "#2B0705",
    "danger_soft": "#3B1D1B",
    "warning": "#F2C063",
    "warning_soft": "#35290F",
    "info": "#93BBFF",
    "info_soft": "#18273F",
    "hero": "#0F3D30",
    "hero_ink": "#F2FBF7",
    "hero_muted": "#A5D3C2",
    "gold": "#F0C869",
    "badge_ink": "#FFFFFF",
    "focus": "#8AB4F8",
    "scrim": "#000000B3",
}
#: (text colour, background): a test requires a WCAG contrast of at least 4.5 for each pair.
READABLE: Final = (
    *((ink, background) for ink in ("ink", "muted") for background in ("background", "surface", "sunken")),
    *(
        (ink, background)
        for ink in ("primary", "danger", "warning", "info")
        for background in ("background", "surface")
    ),
    *((tone, f"{tone}_soft") for tone in ("primary", "danger", "warning", "info")),
    *(("ink", f"{tone}_soft") for tone in ("primary", "danger", "warning", "info")),
    ("muted", "primary_soft"),
    ("primary_ink", "primary"),
    ("danger_ink", "danger"),
    ("hero_ink", "hero"),
    ("hero_muted", "hero"),
)
#: Font sizes in sp at a text size of 100 %.
TYPE: Final = {"display": 40, "title": 26, "heading": 19, "body": 16, "label": 14, "caption": 13}
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
    xxl = property(lambda self: dp(48))
    target = property(lambda self: dp(TARGET_DP))
    control = property(lambda self: dp(52))
    radius = property(lambda self: dp(14))
    hairline = property(lambda self: max(1.0, dp(1)))


space = Space()


class Theme(EventDispatcher):
    """The current colours and sizes. `mode` is never "system": `appearance` resolves that."""

    mode = OptionProperty("light", options=["light", "dark"])
    scale = NumericProperty(1.0)
    reduced_motion = BooleanProperty(False)
    for _name, _color in LIGHT.items():
        locals()[_name] = ColorProperty(_color)
    del _name, _color

    def on_mode(self, _theme: Theme, mode: str) -> None:
        for name, color in tokens(mode).items():
            setattr(self, name, color)

    def font(self, style: str, scale: float) -> float:
        """Font size in pixels of a style of `TYPE`. kv passes `scale` so that the rule runs again when it changes."""
        # Large styles grow half as much: at 150 % an amount in 60 sp would not fit on a phone.
        growth = scale if TYPE[style] <= 19 else 1 + (scale - 1) * 0.5
        return float(sp(TYPE[style] * growth))

    def tone(self, name: str, _mode: str) -> Any:
        """The colour of a token. kv passes the mode so that the rule runs again when it changes."""
        return getattr(self, name)


def tokens(mode: str) -> dict[str, str]:
    return DARK if mode == "dark" else LIGHT


def luminance(color: Sequence[float]) -> float:
    """WCAG relative luminance; red, green and blue between 0 and 1."""
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in color[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str | Sequence[float], other: str | Sequence[float]) -> float:
    """WCAG contrast, 1 to 21, of two colours (`#RRGGBB` or parts between 0 and 1)."""
    high, low = sorted((luminance(_parts(color)) for color in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _parts(color: str | Sequence[float]) -> Sequence[float]:
    return get_color_from_hex(color) if isinstance(color, str) else color


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


theme = Theme()
