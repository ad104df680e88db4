"""From the narrowest phone to a desktop: two columns where there is room; the rules hold at every size."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ui.scenes import SCENES
from tests.ui.shop import Shop
from tests.ui.test_every_screen import broken_rules

_SHOWN = ("home", "form", "waiting-help", "history", "settings")


@pytest.mark.parametrize("name", _SHOWN)
async def test_rules_hold_on_a_desktop(start: Any, shop: Shop, name: str) -> None:
    SCENES[name].prepare(shop)
    d = await start(size=(1280, 800))
    await SCENES[name].act(d, shop)
    await d.settle()

    assert d.root.wide
    assert broken_rules(d) == []


@pytest.mark.parametrize("name", ["home", "form", "paid", "settings"])
async def test_rules_hold_with_large_text(start: Any, shop: Shop, name: str) -> None:
    d = await start(size=(360, 640), text_size=150)
    await SCENES[name].act(d, shop)
    await d.settle()

    assert broken_rules(d) == []


async def test_ways_to_pay_and_the_form_stand_beside_each_other(start: Any, shop: Shop) -> None:
    d = await start(size=(1280, 800))
    await SCENES["form"].act(d, shop)
    await d.settle()
    picker, form = d.root.screen.picker, d.root.screen.form

    assert picker.right < form.x
    assert picker.top == form.top


async def test_receipt_stands_beside_the_history(start: Any, shop: Shop) -> None:
    SCENES["history"].prepare(shop)
    d = await start(size=(1280, 800))
    await SCENES["history"].act(d, shop)
    await d.settle()

    assert d.app.showing == "history"
    assert d.shows("FXP84120")


async def test_wider_window_moves_the_places_to_the_left(start: Any, shop: Shop) -> None:
    d = await start(size=(400, 720))
    await d.until(lambda: d.app.home.packs)
    below = d.find("Historique")
    assert below.y < 100

    d.root.size = (1000, 700)
    await d.settle()

    assert d.find("Historique").y > 300
    assert d.find("Historique").right < 150
