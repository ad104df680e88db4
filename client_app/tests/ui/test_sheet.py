"""`PaymentSheet` over another app's screen, in an app without asyncio: Kivy's clock runs the payment."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from feexpay_client import FeexPayClient, PaymentSheet, Purchase, SheetResult, Theme
from feexpay_client.ui.theme import theme as shown_theme
from kivy.app import App
from kivy.core.window import Window
from kivy.lang.builder import _handlers
from kivy.uix.button import Button

from tests.ui.fake_shop import FakeShop
from tests.ui.host_driver import HostDriver

_COINS = Purchase(500, "XOF", "50 coins", {"pack": "mini"})


class Game(App):
    """The host: one button of its own, and a list of what the sheets told."""

    showing = ""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.results, self.presses = folder, list[SheetResult](), 0

    def build(self) -> Button:
        return Button(text="Play", on_release=self._pressed)

    def _pressed(self, *_args: object) -> None:
        self.presses += 1

    @property
    def user_data_dir(self) -> str:
        return str(self.folder)


class Player(HostDriver):
    """Plays the game and pays in its sheet."""

    made = 0

    def sheet(self, shop: FakeShop, purchase: Purchase | None = _COINS, **options: Any) -> PaymentSheet:
        self.made += 1
        return PaymentSheet(
            **{
                "api": "https://shop.example",
                "token": "t" * 40,
                "purchase": purchase,
                "on_result": self.app.results.append,
                "country": "BJ",
                "language": "en",
                "transport": httpx.MockTransport(shop),
            }
            | options
        )

    def pay(self, sheet: PaymentSheet) -> None:
        """From the ways to pay to the open payment, by taps."""
        self.wait(lambda: sheet.showing == "pay" and sheet.providers.tiles)
        self.tap(self.find("MTN Mobile Money"))
        self.type(sheet._shell.screen.form.ids.phone.ids.entry, "0197000000")
        self.wait(lambda: sheet.stage.form.can_pay)
        self.tap(next(one for one in self.visible() if getattr(one, "text", "").startswith("Pay 500")))
        self.wait(lambda: sheet.showing == "status" and sheet.context.state.payment is not None)


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Player]:
    driver = Player(Game(tmp_path))
    before = len(_handlers)
    yield driver
    driver.frames(2)
    gc.collect()
    left = len(_handlers)
    driver.close()
    shown_theme.use(Theme())
    # Kivy's own rule of each sheet may still be there, ours may not: a screen has a hundred.
    assert left <= before + driver.made


def _is_open() -> bool:
    return any(isinstance(child, PaymentSheet) for child in Window.children)


def test_sheet_pays_and_tells_the_app_once(player: Player, shop: FakeShop) -> None:
    sheet = player.sheet(shop)
    sheet.open()
    sheet.open()
    player.pay(sheet)
    shop.settle()
    sheet._try_again()
    player.wait(lambda: sheet.showing == "result")
    assert player.app.results == []

    player.tap(player.find("Done"))
    player.wait(lambda: player.app.results)

    assert [result.status for result in player.app.results] == ["successful"]
    assert player.app.results[0].payment.metadata == {"pack": "mini"}
    assert len(shop.posts()) == 1
    assert not _is_open()
    player.tap(player.app.root)
    assert player.app.presses == 1, "the game has its screen back"


def test_shop_is_named_and_the_operators_page_leads_back_to_the_hosts(player: Player, shop: FakeShop) -> None:
    sheet = player.sheet(shop, shop_name="Jeux d'Awa", return_url="https://awa.example/back/", country="CI")
    sheet.open()
    player.wait(lambda: sheet.showing == "pay" and sheet.providers.tiles)
    player.tap(player.find("Wave"))
    player.type(sheet._shell.screen.form.ids.phone.ids.entry, "0700000000")
    player.wait(lambda: sheet.stage.form.can_pay)
    player.tap(next(one for one in player.visible() if getattr(one, "text", "").startswith("Pay 500")))
    player.wait(lambda: sheet.showing == "status" and sheet.context.state.payment is not None)
    assert player.shows("50 coins · Jeux d'Awa")

    sent = json.loads(shop.posts()[0].content)
    assert sent["return_url"] == sent["cancel_url"] == "https://awa.example/back/"
    shop.settle()
    sheet._try_again()
    player.wait(lambda: sheet.showing == "result")
    assert player.shows("Jeux d'Awa"), "the receipt names the shop"
    sheet.finish_payment()
    player.wait(lambda: player.app.results)


def test_panel_in_a_large_window_darkens_itself_and_nothing_beside_it(player: Player, shop: FakeShop) -> None:
    sheet = player.sheet(shop)
    sheet.open()
    player.wait(lambda: sheet.showing == "pay" and sheet.providers.tiles)
    sheet.size_hint, sheet.size = (None, None), (800, 600)
    player.frames(2)
    assert sheet._shell.corner > 0
    sheet.size = (844, 390)
    assert tuple(sheet._shell.size) == (844, 390), "a phone held sideways has no height to spare"
    sheet.size = (800, 600)
    player.frames(2)
    sheet._shell.screen.picker.open_countries()
    player.frames(2)

    (countries,) = sheet._shell.sheets()
    assert (countries.pos, countries.size) == (sheet._shell.pos, sheet._shell.size)
    assert countries.corner == sheet._shell.corner
    for _ in range(2):
        sheet.go_back()
    player.wait(lambda: player.app.results)


def test_taps_and_keys_stay_in_the_sheet_and_escape_leaves_it(player: Player, shop: FakeShop) -> None:
    sheet = player.sheet(shop)
    sheet.open()
    player.wait(lambda: sheet.showing == "pay" and sheet.providers.tiles)
    player.key("tab")
    assert player.focused() is not None
    player.tap(player.find("MTN Mobile Money"))
    assert not sheet._shell.screen.picking
    sheet._shell.screen.form.ids.phone.ids.entry.focus = False
    player.key("escape")
    assert sheet._shell.screen.picking, "back to the ways to pay"
    player.key("escape")
    player.wait(lambda: player.app.results)

    assert [result.status for result in player.app.results] == ["cancelled"]
    assert shop.posts() == []
    assert player.app.presses == 0


def test_open_payment_is_left_resumed_and_never_paid_twice(player: Player, shop: FakeShop) -> None:
    first = player.sheet(shop)
    first.open()
    player.pay(first)
    first.leave_payment()
    player.wait(lambda: player.app.results)
    assert player.app.results[0].status == "pending"

    other = player.sheet(shop, Purchase(2000, "XOF", "220 coins", {"pack": "champion"}))
    other.open()
    player.wait(lambda: other.showing == "status")
    player.app.dispatch("on_stop")  # the app ends with the sheet open
    assert not _is_open()

    third = player.sheet(shop, None)
    third.resume()
    player.wait(lambda: third.showing == "status")
    shop.settle()
    third._try_again()
    player.wait(lambda: third.showing == "result")
    third.finish_payment()
    player.wait(lambda: len(player.app.results) == 2)
    assert player.app.results[1].status == "successful"
    assert len(shop.posts()) == 1

    quiet = player.sheet(shop, None)
    quiet.resume()
    player.wait(lambda: quiet._runner is None)
    assert not _is_open()
    assert len(player.app.results) == 2


def test_one_sheet_sells_again_and_again(player: Player, shop: FakeShop) -> None:
    sheet = player.sheet(shop, None)
    sheet.resume()
    sheet.open(_COINS)  # while it still looks for a payment to resume
    player.pay(sheet)
    shop.settle()
    sheet._try_again()
    player.wait(lambda: sheet.showing == "result")
    sheet.finish_payment()
    sheet.open(Purchase(500, "XOF", "A sword", {"sword": 1}))  # before the app has heard of the coins
    player.wait(lambda: sheet.showing == "pay" and sheet.stage.form.can_pay)
    assert [result.payment.metadata for result in player.app.results] == [{"pack": "mini"}]
    assert player.shows("A sword")

    player.tap(next(one for one in player.visible() if getattr(one, "text", "").startswith("Pay 500")))
    player.wait(lambda: sheet.showing == "status" and sheet.context.state.payment is not None)
    shop.settle()
    sheet._try_again()
    player.wait(lambda: sheet.showing == "result")
    sheet.finish_payment()
    player.wait(lambda: len(player.app.results) == 2)

    assert [result.status for result in player.app.results] == ["successful", "successful"]
    assert [json.loads(post.content)["metadata"] for post in shop.posts()] == [{"pack": "mini"}, {"sword": 1}]
    assert not _is_open()


def test_sheet_opened_by_a_button_sells_what_it_was_made_for(player: Player, shop: FakeShop) -> None:
    sheet = player.sheet(shop)
    player.app.root.bind(on_release=sheet.open)
    player.tap(player.app.root)
    player.wait(lambda: sheet.showing == "pay" and sheet.providers.tiles)
    assert player.shows("50 coins")
    player.app.root.unbind(on_release=sheet.open)
    sheet.go_back()
    player.wait(lambda: player.app.results)

    nothing = player.sheet(shop, None)
    nothing.open()
    player.wait(lambda: len(player.app.results) == 2)
    assert [result.status for result in player.app.results] == ["cancelled", "cancelled"]


def test_brand_colours_own_words_and_an_own_language(player: Player, shop: FakeShop) -> None:
    texts = {"wo": {"providers.title": "Tànnal ni ngay feyee"}}
    sheet = player.sheet(shop, theme=Theme.branded("#6C2BD9", mode="dark"), language="wo", texts=texts)
    sheet.open()
    player.wait(lambda: sheet.showing == "pay" and sheet.providers.tiles)

    assert player.shows("Tànnal ni ngay feyee")
    assert player.shows("Not available") or player.shows("MTN Mobile Money"), "the rest is English"
    assert shown_theme.mode == "dark"
    assert shown_theme.value.light["primary"] != Theme().light["primary"]
    sheet.go_back()
    player.wait(lambda: player.app.results)


def test_refused_token_asks_the_app_for_a_new_one(player: Player, shop: FakeShop) -> None:
    asked, tokens = [], ["t" * 40]
    sheet = player.sheet(shop, token=lambda: tokens[-1], on_sign_in=lambda: asked.append(1))
    sheet.open()
    player.pay(sheet)
    shop.answers["status/"] = 401
    sheet._try_again()
    player.wait(lambda: asked)
    del shop.answers["status/"]
    tokens.append("n" * 40)
    sheet.signed_in()
    shop.settle()
    player.wait(lambda: sheet.showing == "result")
    sheet.finish_payment()
    player.wait(lambda: player.app.results)
    assert player.app.results[0].status == "successful"
    assert shop.requests[-1].headers["authorization"] == "Bearer " + "n" * 40


def test_wrong_words_and_unreadable_colours_fail_when_the_sheet_is_made(shop: FakeShop) -> None:
    with pytest.raises(ValueError, match=r"no such texts: form\.pya"):
        PaymentSheet(api="https://shop.example", texts={"fr": {"form.pya": "x"}})
    with pytest.raises(ValueError, match="hard to read: light primary on background"):
        Theme(light={"primary": "#FFEE00"})
    for color in ("#FFEE00", "#000000", "#FFFFFF", "#1A1F71", "#00FFAA"):
        assert Theme.branded(color).problems() == []
    assert isinstance(FeexPayClient("https://shop.example", "t"), FeexPayClient)
