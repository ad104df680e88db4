"""Layouts from the narrowest phone to a desktop, and with large text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ui.fake_shop import FakeShop
from tests.ui.scenes import SCENES
from tests.ui.test_every_screen import broken_rules

_SHOWN = ("home", "form", "waiting-help", "history", "settings")


@pytest.mark.parametrize("name", _SHOWN)
async def test_screens_follow_the_rules_on_a_desktop(start: Any, shop: FakeShop, name: str) -> None:
    SCENES[name].prepare(shop)
    d = await start(size=(1280, 800))
    await SCENES[name].act(d, shop)
    await d.settle()

    assert d.root.wide
    assert broken_rules(d) == []


@pytest.mark.parametrize("name", ["home", "form", "paid", "settings"])
async def test_screens_follow_the_rules_with_large_text(start: Any, shop: FakeShop, name: str) -> None:
    d = await start(size=(360, 640), text_size=150)
    await SCENES[name].act(d, shop)
    await d.settle()

    assert broken_rules(d) == []


async def test_picker_and_form_are_side_by_side(start: Any, shop: FakeShop) -> None:
    d = await start(size=(1280, 800))
    await SCENES["form"].act(d, shop)
    await d.settle()
    picker, form = d.root.screen.picker, d.root.screen.form

    assert picker.right < form.x
    assert picker.top == form.top


async def test_receipt_is_beside_the_history(start: Any, shop: FakeShop) -> None:
    SCENES["history"].prepare(shop)
    d = await start(size=(1280, 800))
    await SCENES["history"].act(d, shop)
    await d.settle()

    assert d.app.showing == "history"
    assert d.shows("FXP84120")


async def test_navigation_moves_to_the_left_when_the_window_grows(start: Any, shop: FakeShop) -> None:
    d = await start(size=(400, 720))
    await d.until(lambda: d.app.home.packs)
    below = d.find("Historique")
    assert below.y < 100

    d.root.size = (1000, 700)
    await d.settle()

    assert d.find("Historique").y > 300
    assert d.find("Historique").right < 150
