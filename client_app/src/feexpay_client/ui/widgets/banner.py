"""A word to the payer above everything else: no connection, a payment under way, something that failed."""

from __future__ import annotations

from typing import Any

from kivy.properties import OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.teardown import tear_down
from feexpay_client.ui.widgets.button import Pressable
from feexpay_client.ui.widgets.icon import Icon
from feexpay_client.ui.widgets.text import BaseText

_ICONS = {"info": "info", "warning": "alert", "danger": "alert", "primary": "tick"}


class Banner(BoxLayout):
    """`mood` chooses ground and icon; `action` is the word to press, if there is something to do."""

    __events__ = ("on_act",)

    mood = OptionProperty("info", options=list(_ICONS))
    text = StringProperty("")
    icon = StringProperty("")
    action = StringProperty("")

    def on_act(self) -> None:
        """The word was pressed."""

    def on_kv_post(self, _base: Any) -> None:
        sign = Icon(
            name=self.icon or _ICONS[self.mood], tone=self.mood, size=("22dp", "22dp"), pos_hint={"center_y": 0.5}
        )
        self.bind(mood=sign.setter("tone"), icon=sign.setter("name"))
        self.add_widget(sign, index=1)
        self.bind(action=self._offer)
        self._offer()

    def _offer(self, *_args: object) -> None:
        for child in self.children[:]:
            if isinstance(child, BannerAction):
                tear_down(child)
                self.remove_widget(child)
        if self.action:
            link = BannerAction(text=self.action, tone=self.mood)
            link.bind(on_release=lambda *_: self.dispatch("on_act"))
            self.add_widget(link)


class BannerAction(Pressable, BaseText):
    """The word to press at the end of a banner."""


load_kv(__file__)
