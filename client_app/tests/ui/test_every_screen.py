"""What must hold on every screen in every state, in both languages, at a phone's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kivy
import pytest
from feexpay_client.ui.theme import TARGET_DP, contrast
from feexpay_client.ui.widgets.button import Pressable
from feexpay_client.ui.widgets.text import BaseText
from kivy.uix.label import Label
from PIL import ImageFont

from tests.ui.golden import compare
from tests.ui.scenes import SCENES
from tests.ui.shop import Shop

ROBOTO = ImageFont.truetype(str(Path(kivy.kivy_data_dir) / "fonts" / "Roboto-Regular.ttf"), 24)
_MISSING = bytes(ROBOTO.getmask("\uffff"))
_LANGUAGES = ("fr", "en")


def has_glyph(sign: str) -> bool:
    return sign.isspace() or bytes(ROBOTO.getmask(sign)) != _MISSING


def test_a_sign_without_glyph_is_seen() -> None:
    assert has_glyph("é")
    assert has_glyph("•")
    assert not has_glyph("✓")


@pytest.mark.parametrize("language", _LANGUAGES)
@pytest.mark.parametrize("name", SCENES)
async def test_screen_keeps_the_rules_and_looks_as_it_should(
    start: Any, shop: Shop, name: str, language: str, tmp_path: Path
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
        shop.held.set()  # only now: these pictures are of what is seen until the answer comes
    assert list(filter(None, differences)) == []


def broken_rules(d: Any) -> list[str]:
    """Signs without a glyph, texts without a translation, targets too small, words beyond the edge."""
    labels = d.visible(Label)
    assert labels
    return [
        *(f"no glyph: {label.text}" for label in labels if not all(has_glyph(sign) for sign in label.text)),
        *(f"not said: {label.text}" for label in labels if "{" in label.text or label.text in _keys(d)),
        *(f"too small to hit: {_named(w)}" for w in d.visible(Pressable) if _too_small(w)),
        *(f"beyond the edge: {_named(w)}" for w in labels if _too_wide(w, d)),
    ]


def _keys(d: Any) -> set[str]:
    """Texts that are missing are shown as their key."""
    return set(d.app.session.texts._texts)


def _too_small(widget: Any) -> bool:
    """A field's box is as high as its row; what can be pressed must be 48 dp both ways."""
    return min(widget.width, widget.height) < TARGET_DP - 0.5


def _too_wide(label: Any, d: Any) -> bool:
    """Beyond the right edge of the screen, unless it scrolls sideways."""
    left, _ = label.to_window(label.x, label.y)
    parent = label.parent
    while parent is not None and parent is not parent.parent:
        if getattr(parent, "do_scroll_x", False):
            return False
        parent = parent.parent
    return bool(left + min(label.width, label.texture_size[0]) > d.size[0] + 1 or left < -1)


def _unreadable(d: Any) -> list[str]:
    """Words against the background they were drawn on: the commonest colour where they stand."""
    picture = d.picture()
    bad = []
    for label in d.visible(BaseText):
        x, y = label.to_window(label.x, label.y)
        top = d.size[1] - y - label.height
        box = (round(x) - 3, round(top) - 3, round(x + label.width) + 3, round(top + label.height) + 3)
        inside = box[0] >= 0 and box[1] >= 0 and box[2] <= d.size[0] and box[3] <= d.size[1]
        if not label.text.strip() or d.root.sheets() or not inside or _covered(label, d, y):
            continue
        colors = picture.crop(box).getcolors(100_000)
        background = [part / 255 for part in max(colors)[1]]
        if contrast(label.color[:3], background) < 4.5:
            bad.append(f"{label.text!r} {contrast(label.color[:3], background):.1f}")
    return bad


def _covered(label: Any, d: Any, y: float) -> bool:
    """Scrolled under the bar of places, or above the page."""
    parent = label.parent
    while parent is not None and parent is not parent.parent:
        if hasattr(parent, "scroll_y"):
            bottom = parent.to_window(parent.x, parent.y)[1]
            return bool(y < bottom or y + label.height > bottom + parent.height)
        parent = parent.parent
    return False


def _named(widget: Any) -> str:
    said = next(
        (getattr(widget, name) for name in ("text", "title", "action_name", "name") if getattr(widget, name, "")), ""
    )
    return f"{type(widget).__name__} {said!r} {widget.width:.0f}x{widget.height:.0f}"
