"""What is gone from the window listens to nothing any more, even before Python's collector finds it."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from feexpay_client.ui.theme import theme
from kivy.lang.builder import _handlers

from tests.ui.scenes import past
from tests.ui.shop import Shop


@pytest.fixture
def nothing_collected() -> Any:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def _round(d: Any) -> int:
    """Once through the app, sheets and all. How many widgets have rules that run, back at the beginning."""
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
async def test_rules_of_what_is_gone_do_not_run(
    start: Any, shop: Shop, size: tuple[int, int], nothing_collected: None
) -> None:
    past(shop)
    d = await start(size=size)
    first = await _round(d)
    assert await _round(d) == first


async def test_an_app_that_ended_leaves_no_rule_behind(start: Any, nothing_collected: None) -> None:
    before = len(_handlers)
    d = await start(size=(360, 640))
    assert len(_handlers) > before
    d.close()
    assert len(_handlers) == before
    theme.mode = "dark"
    theme.mode = "light"
