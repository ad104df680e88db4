"""The shop: coin packs, the player's balance, and a free amount."""

from __future__ import annotations

from typing import Any

from kivy.properties import ListProperty, StringProperty

from feexpay_client.core import money
from feexpay_client.core.models import Pack, Payment
from feexpay_client.presenters.presenter import Loading


class HomePresenter(Loading):
    """`packs` holds one dict of texts per tile. `on_chosen` is dispatched with the chosen amount."""

    __events__ = ("on_chosen",)

    packs = ListProperty()
    coins_text = StringProperty("")
    amount_text = StringProperty("")
    amount_error = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._packs: tuple[Pack, ...] = ()
        self._coins: int | None = None

    def on_chosen(self, amount: int, currency: str, metadata: dict[str, Any], title: str) -> None:
        """The player chose a pack or an amount."""

    async def fetch(self) -> None:
        api = self.session.api
        if api is not None:
            # The packs need no token: load them first, so that they show even when the session has ended.
            self._packs = await api.packs()
            self._coins = (await api.balance()).coins

    def show(self) -> None:
        self.coins_text = "" if self._coins is None else money.grouped(self._coins)
        best = max(self._packs, key=lambda pack: pack.coins / max(pack.price, 1), default=None)
        self.packs = [self._tile(pack, best=pack is best and len(self._packs) > 1) for pack in self._packs]
        if self._packs:
            self.state = "ready"
        elif self._coins is not None:
            self.state = "empty"

    def forget(self) -> None:
        """Drop the balance of the previous account."""
        self._coins = None
        self.coins_text = self.amount_text = ""

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

    def title_of(self, payment: Payment) -> str:
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
