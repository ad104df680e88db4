"""Removed widgets have no active kv rules, even before Python collects them."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from feexpay_client.ui.theme import theme
from kivy.lang.builder import _handlers

from tests.ui.fake_shop import FakeShop
from tests.ui.scenes import add_history


@pytest.fixture
def garbage_collection_off() -> Any:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def _visit_all_screens(d: Any) -> int:
    """Visit every screen and sheet, return to the shop, and count the widgets with active kv rules."""
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "ready")
    d.app.history.status = "failed"
    await d.settle()
    d.app.history.status = ""
    await d.settle()
    d.app.open_receipt(next(row["id"] for row in d.app.history.rows if "id" in row))
    await d.settle()
    d.app.go("settings")
    d.app.ask_sign_out()
    d.root.sheets()[0].close()
    d.app.go("home")
    d.app.home.choose_pack("champion")
    await d.until(lambda: d.app.providers.tiles)
    d.root.screen.picker.open_countries()
    d.root.screen._pick("mtn_bj")
    d.app.go("home")
    await d.until(lambda: d.app.home.state == "ready")
    await d.settle()
    return len(_handlers)


@pytest.mark.parametrize("size", [(360, 640), (1280, 800)])
async def test_rules_of_removed_widgets_are_unbound(
    start: Any, shop: FakeShop, size: tuple[int, int], garbage_collection_off: None
) -> None:
    add_history(shop)
    d = await start(size=size)
    first = await _visit_all_screens(d)
    assert await _visit_all_screens(d) == first


async def test_closed_app_leaves_no_rules_bound(start: Any, garbage_collection_off: None) -> None:
    before = len(_handlers)
    d = await start(size=(360, 640))
    assert len(_handlers) > before
    d.close()
    assert len(_handlers) == before
    theme.mode = "dark"
    theme.mode = "light"
