"""The receipt as a picture to keep or send: text on white, without the screen's buttons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kivy
from PIL import Image, ImageDraw, ImageFont

_FONTS = Path(kivy.kivy_data_dir) / "fonts"
_WIDTH, _MARGIN, _LINE = 720, 48, 56
_INK, _MUTED, _RULE = "#14181B", "#566069", "#D8DDD9"
_TONES = {"primary": "#0B6B4D", "danger": "#B3261E", "warning": "#7A4A00"}


def receipt_picture(shop: str, headline: str, amount: str, variant: str, rows: list[tuple[str, str]]) -> Any:
    """A PIL image, 720 pixels wide. variant: the tone of the headline."""
    lines = [line for name, value in rows for line in _row(name, value)]
    top = _MARGIN + (_LINE if shop else 0)
    picture = Image.new("RGB", (_WIDTH, top + 190 + _LINE * len(lines) + _MARGIN), "#FFFFFF")
    draw = ImageDraw.Draw(picture)
    if shop:
        draw.text((_WIDTH / 2, _MARGIN), shop, font=_font(30), fill=_MUTED, anchor="ma")
    draw.text((_WIDTH / 2, top), headline, font=_font(36, bold=True), fill=_TONES.get(variant, _INK), anchor="ma")
    draw.text((_WIDTH / 2, top + 60), amount, font=_font(64, bold=True), fill=_INK, anchor="ma")
    y = top + 170
    draw.line((_MARGIN, y, _WIDTH - _MARGIN, y), fill=_RULE, width=2)
    for left, right in lines:
        y += _LINE
        draw.text((_MARGIN, y), left, font=_font(26), fill=_MUTED, anchor="ls")
        draw.text((_WIDTH - _MARGIN, y), right, font=_font(26), fill=_INK, anchor="rs")
    return picture


def _row(name: str, value: str) -> list[tuple[str, str]]:
    """One line, or two if both do not fit side by side."""
    width = _font(26).getlength(name) + _font(26).getlength(value)
    return [(name, value)] if width < _WIDTH - 2 * _MARGIN - 24 else [(name, ""), ("", value)]


def _font(size: int, *, bold: bool = False) -> Any:
    return ImageFont.truetype(str(_FONTS / f"Roboto-{'Bold' if bold else 'Regular'}.ttf"), size)
