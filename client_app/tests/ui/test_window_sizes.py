"""Layouts from the narrowest phone to a desktop, and with large text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from feexpay_client.ui.widgets.text import FeexPayBaseText
from feexpay_client.ui.widgets.tile import FeexPayProviderTile

from tests.ui.fake_shop import FakeShop
from tests.ui.golden import compare
from tests.ui.scenes import SCENES, add_history, to_form, to_pay
from tests.ui.test_every_screen import broken_rules, covered

#: Labels may touch by rounding.
_TOUCHING = 3
#: Photographed with text at 150 %.
_LARGE = (
    *("signin", "home", "providers", "countries", "form", "form-wrong", "form-code", "waiting-help", "code", "page"),
    *("overdue", "paid", "failed", "unconfirmed", "code-refused", "history", "receipt", "settings", "signout"),
)
_SHOWN = ("home", "form", "waiting-help", "history", "settings")


@pytest.mark.parametrize("name", _SHOWN)
async def test_screens_follow_the_rules_on_a_desktop(start: Any, shop: FakeShop, name: str) -> None:
    SCENES[name].prepare(shop)
    d = await start(size=(1280, 800))
    await SCENES[name].act(d, shop)
    await d.settle()

    assert d.root.wide
    assert broken_rules(d) == []


@pytest.mark.parametrize("size", [(768, 1024), (1280, 800)])
@pytest.mark.parametrize("name", ["signin", "home", "form", "page", "paid", "history"])
async def test_large_text_overlaps_nowhere(start: Any, shop: FakeShop, name: str, size: tuple[int, int]) -> None:
    await _draw_with_large_text(start, shop, name, size)


@pytest.mark.parametrize("name", _LARGE)
async def test_large_text_on_a_phone_matches_its_picture(start: Any, shop: FakeShop, name: str, tmp_path: Path) -> None:
    d = await _draw_with_large_text(start, shop, name, (360, 640))

    assert compare(d.picture(), f"{name}-large-fr", tmp_path) == ""


async def _draw_with_large_text(start: Any, shop: FakeShop, name: str, size: tuple[int, int]) -> Any:
    SCENES[name].prepare(shop)
    d = await start(size=size, text_size=150, signed_in=SCENES[name].signed_in)
    await SCENES[name].act(d, shop)
    await d.settle()

    assert broken_rules(d) == []
    assert overlaps(d) == []
    return d


def overlaps(d: Any) -> list[str]:
    """Pairs of texts that are drawn over each other. A sheet covers what is below it."""
    in_front = set(d.root.focus_scope().walk())
    visible = (label for label in d.visible(FeexPayBaseText) if label in in_front)
    shown = [label for label in visible if label.text.strip() and label.opacity]
    boxes = [(label, _box(label)) for label in shown if not covered(label, d, label.to_window(label.x, label.y)[1])]
    return [
        f"{one.text!r} over {other.text!r}"
        for at, (one, (left, bottom, right, top)) in enumerate(boxes)
        for other, (left2, bottom2, right2, top2) in boxes[at + 1 :]
        if min(right, right2) - max(left, left2) > _TOUCHING and min(top, top2) - max(bottom, bottom2) > _TOUCHING
    ]


def _box(label: Any) -> tuple[float, float, float, float]:
    """Where the letters are: the label may be wider."""
    width, height = label.texture_size
    centre_x, centre_y = label.to_window(*label.center)
    shift = {"left": -(label.width - width) / 2, "right": (label.width - width) / 2}.get(label.halign, 0)
    middle = centre_x + (shift if label.text_size[0] is None else 0)
    return middle - width / 2, centre_y - height / 2, middle + width / 2, centre_y + height / 2


async def test_picker_and_form_are_side_by_side(start: Any, shop: FakeShop) -> None:
    d = await start(size=(1280, 800))
    await SCENES["form"].act(d, shop)
    await d.settle()
    picker, form = d.root.screen.picker, d.root.screen.form

    assert picker.right < form.x
    assert picker.top == form.top


async def test_total_and_button_stay_in_view_beside_a_long_list(start: Any, shop: FakeShop) -> None:
    d = await start(size=(1000, 660), text_size=150)
    await to_pay(d)
    d.app.providers.show_unavailable()
    await d.settle()
    page, form = d.root.screen.ids.page, d.root.screen.form
    assert page.ids.column.height > page.height >= form.height

    page.scroll_y = 0.2
    await d.settle()

    top = form.to_window(form.x, form.top)[1]
    assert top <= page.to_window(page.x, page.top)[1] + _TOUCHING
    assert form.to_window(form.x, form.y)[1] >= page.y - _TOUCHING


@pytest.mark.parametrize("size", [(667, 375), (844, 390), (932, 430), (840, 520), (840, 900), (1280, 800)])
@pytest.mark.parametrize("way", ["mtn_bj", "orange_bf"])
async def test_number_and_button_are_seen_together_once_a_way_is_chosen(
    start: Any, shop: FakeShop, size: tuple[int, int], way: str
) -> None:
    """Also on a phone held sideways, and with the dialled code of Orange between them."""
    d = await start(size=size)
    await to_pay(d)
    d.app.providers.country = way[-2:].upper()
    await d.settle()
    page = d.root.screen.ids.page
    page.scroll_y = 0  # the payer has looked through the whole list
    await d.settle()
    d.tap(next(tile for tile in d.visible(FeexPayProviderTile) if tile.code == way))
    await d.settle()

    screen = d.root.screen
    assert screen.form.ids.phone.ids.entry.focus
    assert _is_in_view(screen.form.ids.phone, page), "the number with its label"
    assert _is_in_view(screen.form.ids.pay, page), "the button"


def _is_in_view(widget: Any, page: Any) -> bool:
    bottom, below = widget.to_window(widget.x, widget.y)[1], page.to_window(page.x, page.y)[1]
    return bool(bottom >= below and bottom + widget.height <= below + page.height)


async def test_turning_the_phone_changes_the_layout_and_keeps_what_was_typed(start: Any, shop: FakeShop) -> None:
    d = await start(size=(390, 720))
    await to_form(d)
    for size, wide in (((844, 390), True), ((390, 844), False), ((1280, 800), False)):
        d.root.size = size
        await d.settle()
        assert (d.root.screen.form.wide, d.root.screen.form.ids.phone.text) == (wide, "01 97 00 00 00")
    assert d.root.screen.picker.get_root_window() is not None, "there is room for both"
    d.root.size = (844, 390)
    await d.settle()
    d.app.back()
    await d.settle()
    assert d.root.screen.picking
    assert d.app.showing == "pay"


async def test_receipt_is_beside_the_history(start: Any, shop: FakeShop) -> None:
    SCENES["history"].prepare(shop)
    d = await start(size=(1280, 800))
    await SCENES["history"].act(d, shop)
    await d.settle()

    assert d.app.showing == "history"
    d.tap(d.find("Détails"))
    d.frames(2)
    assert d.shows("FXP84120")


async def test_the_newest_receipt_is_open_beside_the_history(start: Any, shop: FakeShop) -> None:
    add_history(shop)
    d = await start(size=(1280, 800))
    await d.until(lambda: d.app.home.packs and d.app.providers.all)
    d.app.go("history")
    await d.until(lambda: d.app.receipt.payment_id == shop.payments[0]["id"])


async def test_form_follows_the_country_beside_it(start: Any, shop: FakeShop) -> None:
    d = await start(size=(1280, 800))
    await SCENES["form"].act(d, shop)
    d.app.providers.country = "CI"
    await d.settle()

    assert not d.app.form.has_provider
    assert not d.app.form.can_pay


async def test_navigation_moves_to_the_left_when_the_window_grows(start: Any, shop: FakeShop) -> None:
    d = await start(size=(400, 720))
    await d.until(lambda: d.app.home.packs)
    below = d.find("Historique")
    assert below.y < 100

    d.root.size = (1000, 700)
    await d.settle()

    assert d.find("Historique").y > 300
    assert d.find("Historique").right < 150
