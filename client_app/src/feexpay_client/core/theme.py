"""How the screens look, as plain values: colours for light and dark, corner radius, font, text sizes and logo.

No Kivy here: the build reads it, too. `ui.theme` shows one `Theme` at a time.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

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
MODES: Final = ("system", "light", "dark")
LEAST_CONTRAST: Final = 4.5
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?")


@dataclass(frozen=True)
class Theme:
    """Colours not given are ours. Raises ValueError for an unknown name, and for text that would be hard to read.

    light, dark: token → `#RRGGBB`, of the names in `LIGHT`. radius: of cards and buttons, in dp. font: a font that Kivy
    knows, or a `.ttf` file. sizes: style → sp, of the names in `TYPE`. logo: a picture file, shown in place of ours.
    """

    light: Mapping[str, str] = field(default_factory=dict)
    dark: Mapping[str, str] = field(default_factory=dict)
    mode: str = "system"
    radius: int = 14
    font: str = "Roboto"
    sizes: Mapping[str, int] = field(default_factory=dict)
    logo: str = ""

    def __post_init__(self) -> None:
        for name, ours, given in (("light", LIGHT, self.light), ("dark", DARK, self.dark)):
            _require_known(given, ours)
            wrong = sorted(token for token, color in given.items() if not _COLOR.fullmatch(color))
            if wrong:
                raise ValueError(f"{name}: not a colour #RRGGBB: {', '.join(wrong)}")
            object.__setattr__(self, name, {**ours, **given})
        _require_known(self.sizes, TYPE)
        object.__setattr__(self, "sizes", {**TYPE, **self.sizes})
        if self.mode not in MODES:
            raise ValueError(f"mode: one of {', '.join(MODES)}")
        if problems := self.problems():
            raise ValueError("hard to read: " + "; ".join(problems))

    @classmethod
    def branded(cls, primary: str, **more: Any) -> Self:
        """A theme from one brand colour. Its light and dark variants are shifted until every text is readable."""
        if not _COLOR.fullmatch(primary):
            raise ValueError("primary: not a colour #RRGGBB")
        light, dark = dict(_branded(primary, LIGHT, darker=True)), dict(_branded(primary, DARK, darker=False))
        return cls(light=light | dict(more.pop("light", {})), dark=dark | dict(more.pop("dark", {})), **more)

    def problems(self) -> list[str]:
        """The pairs of text and background whose contrast is below 4.5."""
        return [
            f"{mode} {ink} on {background} has a contrast of {found:.1f}"
            for mode, colors in (("light", self.light), ("dark", self.dark))
            for ink, background in READABLE
            if (found := contrast(colors[ink], colors[background])) < LEAST_CONTRAST
        ]


def _require_known(given: Mapping[str, object], known: Mapping[str, object]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")


def _branded(primary: str, colors: Mapping[str, str], *, darker: bool) -> Mapping[str, str]:
    """The tokens of the brand colour on those backgrounds."""
    soft = _soft(primary, colors, 0.14 if darker else 0.22)
    inks = [colors["background"], colors["surface"], soft]
    shade = _readable(primary, inks, darker=darker)
    black_or_white = max(("#FFFFFF", "#0B0F12"), key=lambda ink: contrast(ink, shade))
    hero = _readable(primary, [colors["hero_ink"]], darker=True)
    return {
        "primary": shade,
        "primary_ink": black_or_white,
        "primary_soft": soft,
        "hero": _readable(hero, [colors["hero_muted"]], darker=True),
        "hero_muted": colors["hero_ink"],
    }


def _soft(primary: str, colors: Mapping[str, str], share: float) -> str:
    """A background with as much of the colour as its texts allow, at most that share."""
    soft = _mixed(primary, colors["surface"], share)
    while min(contrast(colors[ink], soft) for ink in ("ink", "muted")) < LEAST_CONTRAST + 0.05 and share > 0:
        share -= 0.01
        soft = _mixed(primary, colors["surface"], max(share, 0))
    return soft


def _readable(color: str, against: Sequence[str], *, darker: bool) -> str:
    """The colour, made darker or lighter until its contrast to each of those is at least 4.5."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*parts(color)[:3])
    end = 0.0 if darker else 1.0
    while min(contrast(color, other) for other in against) < LEAST_CONTRAST + 0.05 and lightness != end:
        lightness = min(1.0, max(0.0, lightness + (-0.01 if darker else 0.01)))
        color = _hex(colorsys.hls_to_rgb(hue, lightness, saturation))
    return color


def _mixed(color: str, other: str, share: float) -> str:
    return _hex([a * share + b * (1 - share) for a, b in zip(parts(color)[:3], parts(other)[:3], strict=True)])


def _hex(color: Sequence[float]) -> str:
    return "#" + "".join(f"{round(part * 255):02X}" for part in color)


def luminance(color: Sequence[float]) -> float:
    """WCAG relative luminance; red, green and blue between 0 and 1."""
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in color[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str | Sequence[float], other: str | Sequence[float]) -> float:
    """WCAG contrast, 1 to 21, of two colours (`#RRGGBB` or parts between 0 and 1)."""
    high, low = sorted((luminance(parts(color)) for color in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def parts(color: str | Sequence[float]) -> Sequence[float]:
    """Red, green, blue and perhaps alpha, between 0 and 1."""
    if not isinstance(color, str):
        return color
    return [int(color[at : at + 2], 16) / 255 for at in range(1, len(color), 2)]
