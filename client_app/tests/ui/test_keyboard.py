"""Keyboard use: Tab, Shift-Tab, Enter, space, arrows, Esc, and the focus ring."""

from __future__ import annotations

from typing import Any

from feexpay_client.ui.input_mode import follow_touch, input_mode
from feexpay_client.ui.widgets.tile import FeexPayPackTile, FeexPayProviderTile

from tests.ui.fake_shop import FakeShop
from tests.ui.scenes import to_form, to_pay, to_status


async def test_payment_by_keyboard_alone(start: Any, shop: FakeShop) -> None:
    d = await start()
    await d.until(lambda: d.app.home.packs)
    d.key("tab")
    assert isinstance(d.focused(), FeexPayPackTile)
    d.key("down")
    assert d.focused().name == "Standard"
    d.key("enter")
    await d.until_showing("pay")
    await d.until(lambda: d.app.providers.tiles)

    while not isinstance(d.focused(), FeexPayProviderTile):
        d.key("tab")
    assert d.focused().code == "mtn_bj", "the one that most payers of the country use"
    d.key("right")
    d.key("left")
    d.key("spacebar")
    d.type(d.root.screen.form.ids.phone.ids.entry, "0197000000")
    await d.until(lambda: d.app.form.can_pay)
    d.key("enter")
    await d.until_showing("status")

    assert shop.payments == [] or shop.payments[0]["amount"] == 2000


async def test_tab_wraps_around_and_shift_tab_goes_back(start: Any) -> None:
    d = await start(signed_in=False)
    stops = []
    for _ in range(8):
        d.key("tab")
        stops.append(d.focused())
    assert len(set(stops)) == 7
    assert stops[0] is stops[7]

    d.key("tab", "shift")
    assert d.focused() is stops[6]


async def test_focus_ring_is_shown_only_for_keyboard_use(start: Any) -> None:
    d = await start()
    await d.until(lambda: d.app.home.packs)
    d.key("tab")
    assert input_mode.keyboard

    with_ring = d.picture()
    follow_touch(None, object())
    assert not input_mode.keyboard
    assert d.picture() != with_ring


async def test_esc_goes_back_one_step_and_does_not_close_the_app(start: Any) -> None:
    d = await start()
    await to_form(d)
    assert not d.root.screen.picking
    d.key("escape")
    assert d.root.screen.picking
    d.key("escape")
    assert d.app.showing == "home"
    d.key("escape")
    assert d.app.showing == "home"


async def test_esc_leaves_a_payment_without_ending_it(start: Any) -> None:
    d = await start()
    await to_status(d)
    d.key("escape")

    assert d.app.showing == "home"
    assert d.app.waiting.open


async def test_sheet_keeps_the_focus_inside_and_esc_restores_it(start: Any) -> None:
    d = await start()
    await to_pay(d)
    country = d.find("Bénin")
    country.focus = True
    d.key("enter")
    sheet = d.root.sheets()[0]
    for _ in range(12):
        d.key("tab")
        assert d.focused() in list(sheet.walk())

    d.key("escape")

    assert d.root.sheets() == []
    assert country.focus


async def test_focused_widget_is_scrolled_into_view(start: Any) -> None:
    d = await start(size=(360, 640))
    await d.until(lambda: d.app.home.packs)
    for _ in range(5):
        d.key("tab")
    _, y = d.focused().to_window(*d.focused().pos)

    assert 0 <= y < 640
