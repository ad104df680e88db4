"""Every screen in every state and both languages: glyphs, texts, touch sizes, contrast, golden pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kivy
import pytest
from feexpay_client.ui.theme import TARGET_DP, contrast
from feexpay_client.ui.widgets.button import FeexPayPressable
from feexpay_client.ui.widgets.text import FeexPayBaseText
from kivy.uix.label import Label
from PIL import ImageFont

from tests.ui.fake_shop import FakeShop
from tests.ui.golden import compare
from tests.ui.scenes import SCENES

ROBOTO = ImageFont.truetype(str(Path(kivy.kivy_data_dir) / "fonts" / "Roboto-Regular.ttf"), 24)
_MISSING = bytes(ROBOTO.getmask("\uffff"))
_LANGUAGES = ("fr", "en")


def has_glyph(character: str) -> bool:
    return character.isspace() or bytes(ROBOTO.getmask(character)) != _MISSING


def test_missing_glyph_is_detected() -> None:
    assert has_glyph("é")
    assert has_glyph("•")
    assert not has_glyph("✓")


@pytest.mark.parametrize("language", _LANGUAGES)
@pytest.mark.parametrize("name", SCENES)
async def test_screen_follows_the_rules_and_matches_its_picture(
    start: Any, shop: FakeShop, name: str, language: str, tmp_path: Path
) -> None:
    scene = SCENES[name]
    scene.prepare(shop)
    d = await start(signed_in=scene.signed_in, size=(360, 640), language=language)
    await scene.act(d, shop)
    await d.settle()

    assert broken_rules(d) == []
    differences = []
    for mode in ("light", "dark"):
        d.app.settings_page.theme = mode
        await d.settle(4)
        assert _unreadable(d) == []
        differences.append(compare(d.picture(), f"{name}-{mode}-{language}", tmp_path))
    if shop.held is not None:
        shop.held.set()  # released only now: the pictures show the loading state
    assert list(filter(None, differences)) == []


def broken_rules(d: Any) -> list[str]:
    """Missing glyphs, missing translations, too small touch targets, text beyond the edge."""
    labels = d.visible(Label)
    assert labels
    return [
        *(f"no glyph: {label.text}" for label in labels if not all(has_glyph(character) for character in label.text)),
        *(f"not translated: {label.text}" for label in labels if "{" in label.text or label.text in _keys(d)),
        *(f"too small: {_description(w)}" for w in d.visible(FeexPayPressable) if _too_small(w)),
        *(f"beyond the edge: {_description(w)}" for w in labels if _too_wide(w, d)),
    ]


def _keys(d: Any) -> set[str]:
    """All text keys. A missing text is shown as its key."""
    return set(d.app.session.texts._texts)


def _too_small(widget: Any) -> bool:
    """Less than 48 dp wide or high."""
    return min(widget.width, widget.height) < TARGET_DP - 0.5


def _too_wide(label: Any, d: Any) -> bool:
    """Beyond the screen's left or right edge, unless it scrolls sideways."""
    left, _ = label.to_window(label.x, label.y)
    parent = label.parent
    while parent is not None and parent is not parent.parent:
        if getattr(parent, "do_scroll_x", False):
            return False
        parent = parent.parent
    return bool(left + min(label.width, label.texture_size[0]) > d.size[0] + 1 or left < -1)


def _unreadable(d: Any) -> list[str]:
    """Labels with too little contrast to the most frequent colour around them."""
    picture = d.picture()
    bad = []
    for label in d.visible(FeexPayBaseText):
        x, y = label.to_window(label.x, label.y)
        top = d.size[1] - y - label.height
        box = (round(x) - 3, round(top) - 3, round(x + label.width) + 3, round(top + label.height) + 3)
        inside = box[0] >= 0 and box[1] >= 0 and box[2] <= d.size[0] and box[3] <= d.size[1]
        if not label.text.strip() or d.root.sheets() or not inside or covered(label, d, y):
            continue
        colors = picture.crop(box).getcolors(100_000)
        background = [part / 255 for part in max(colors)[1]]
        if contrast(label.color[:3], background) < 4.5:
            bad.append(f"{label.text!r} {contrast(label.color[:3], background):.1f}")
    return bad


def covered(label: Any, d: Any, y: float) -> bool:
    """Scrolled out of its page."""
    parent = label.parent
    while parent is not None and parent is not parent.parent:
        if hasattr(parent, "scroll_y"):
            bottom = parent.to_window(parent.x, parent.y)[1]
            return bool(y < bottom or y + label.height > bottom + parent.height)
        parent = parent.parent
    return False


def _description(widget: Any) -> str:
    text = next(
        (getattr(widget, name) for name in ("text", "title", "action_name", "name") if getattr(widget, name, "")), ""
    )
    return f"{type(widget).__name__} {text!r} {widget.width:.0f}x{widget.height:.0f}"
