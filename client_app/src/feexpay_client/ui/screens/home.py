"""Shop screen: balance, coin packs, and a free amount."""

from __future__ import annotations

from typing import Any

from kivy.properties import ObjectProperty, StringProperty

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import FeexPayScreen
from feexpay_client.ui.teardown import empty
from feexpay_client.ui.widgets.row import FeexPaySkeleton
from feexpay_client.ui.widgets.text import FeexPayCard, FeexPayColumn
from feexpay_client.ui.widgets.tile import FeexPayPackTile


class FeexPayHero(FeexPayCard):
    """The card with the player's balance."""

    coins_text = StringProperty("")


class FeexPayOtherAmount(FeexPayColumn):
    """The field and button for a free amount."""

    vm = ObjectProperty(None, rebind=True)
    host = ObjectProperty(None)


class FeexPayHomeScreen(FeexPayScreen):
    """On a wide window the packs are to the right of the balance, else below it."""

    def on_kv_post(self, _base: Any) -> None:
        column = self.ids.left if self.wide else self.ids.right
        column.add_widget(FeexPayOtherAmount(vm=self.vm, host=self.host))
        self.vm.bind(packs=self._show_packs, state=self._show_packs)
        self.ids.packs.bind(cols=self._show_packs)
        self._show_packs()

    def leave(self) -> None:
        self.vm.unbind(packs=self._show_packs, state=self._show_packs)

    def _show_packs(self, *_args: object) -> None:
        grid = self.ids.packs
        empty(grid)
        if self.vm.state == "loading":
            for _ in range(4):
                grid.add_widget(FeexPaySkeleton(height="108dp" if grid.cols > 1 else "76dp", corner="14dp"))
        for pack in self.vm.packs:
            tile = FeexPayPackTile(
                stacked=grid.cols > 1, **{name: value for name, value in pack.items() if name != "code"}
            )
            tile.code = pack["code"]
            tile.bind(on_release=lambda pressed: self.vm.choose_pack(pressed.code))
            grid.add_widget(tile)


load_kv(__file__)
