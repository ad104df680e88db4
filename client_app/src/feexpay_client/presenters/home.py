"""The shop: coin packs, the player's balance, and a free amount."""

from __future__ import annotations

from typing import Any

from kivy.clock import Clock
from kivy.properties import ListProperty, StringProperty

from feexpay_client.core import money
from feexpay_client.core.models import Pack, Payment
from feexpay_client.core.session import Session
from feexpay_client.core.states import Draft
from feexpay_client.presenters.presenter import Loading

#: How often, and how far apart, the balance is loaded after a purchase.
_LOOKS, _LOOK_SECONDS = 5, 2.0


class HomePresenter(Loading):
    """`packs` holds one dict of texts per tile. `on_chosen` is dispatched with the chosen amount."""

    session: Session  # only the app has these screens

    __events__ = ("on_chosen",)

    packs = ListProperty()
    coins_text = StringProperty("")
    amount_text = StringProperty("")
    amount_error = StringProperty("")
    #: The balance after the last purchase, once the server has added the coins; empty until then.
    new_balance = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._packs: tuple[Pack, ...] = ()
        self._coins: int | None = None
        self._coins_before: int | None = None
        self._looks = 0

    def on_chosen(self, amount: int, currency: str, metadata: dict[str, Any], title: str) -> None:
        """The player chose a pack or an amount."""

    async def fetch(self) -> None:
        shop = self.session.shop
        if shop is not None:
            # The packs need no token: load them first, so that they show even when the session has ended.
            self._packs = await shop.goods()
            self._coins = (await shop.balance()).coins

    def show(self) -> None:
        self.coins_text = "" if self._coins is None else money.grouped(self._coins)
        if self._looks and None not in (self._coins, self._coins_before) and self._coins != self._coins_before:
            self.new_balance = self.coins_text
        best = max(self._packs, key=lambda pack: pack.coins / max(pack.price, 1), default=None)
        self.packs = [self._tile(pack, best=pack is best and len(self._packs) > 1) for pack in self._packs]
        if self._packs:
            self.state = "ready"
        elif self._coins is not None:
            self.state = "empty"

    def forget(self) -> None:
        """Drop the balance of the previous account."""
        self._coins = self._coins_before = None
        self.coins_text = self.amount_text = self.new_balance = ""

    def expect_coins(self) -> None:
        """Load the balance until it has changed: a shop may add the coins a moment after the payment is settled."""
        self._coins_before, self.new_balance, self._looks = self._coins, "", _LOOKS
        self._look_again(0)

    def _look_again(self, _seconds: float) -> None:
        if self._looks and not self.new_balance:
            self._looks -= 1
            self.refresh()
            Clock.schedule_once(self._look_again, _LOOK_SECONDS)

    def choose_pack(self, code: str) -> None:
        for pack in self._packs:
            if pack.code == code:
                title = self.tr("home.pack_title", coins=money.grouped(pack.coins))
                self.dispatch("on_chosen", pack.price, pack.currency, dict(pack.metadata), title)

    def choose_amount(self) -> None:
        """Pay the typed amount. The form checks the provider's limits later."""
        amount = money.from_typed(self.amount_text)
        self.amount_error = "" if amount > 0 else self.tr("amount.missing")
        if amount > 0:
            self.dispatch("on_chosen", amount, "XOF", {}, self.tr("home.free_title"))

    def on_amount_text(self, *_args: object) -> None:
        self.amount_error = ""

    def title_of(self, payment: Payment | Draft) -> str:
        """“650 coins” if the payment bought a pack that is still for sale, else empty."""
        code = str(payment.metadata.get("pack", ""))
        coins = next((pack.coins for pack in self._packs if pack.code == code), None)
        return self.tr("home.pack_title", coins=money.grouped(coins)) if coins else ""

    def _tile(self, pack: Pack, *, best: bool) -> dict[str, str]:
        return {
            "code": pack.code,
            "name": pack.name,
            "coins": money.grouped(pack.coins),
            "unit": self.tr("home.coins"),
            "price": self.context.money(pack.price, pack.currency),
            "note": self.tr("home.best") if best else "",
        }
