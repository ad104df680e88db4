"""A message with an icon and, if there is something to do, a button."""

from __future__ import annotations

from typing import Any

from kivy.properties import OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.teardown import tear_down
from feexpay_client.ui.widgets.button import FeexPayPressable
from feexpay_client.ui.widgets.icon import FeexPayIcon
from feexpay_client.ui.widgets.text import FeexPayBaseText

_ICONS = {"info": "info", "warning": "alert", "danger": "alert", "primary": "tick"}


class FeexPayBanner(BoxLayout):
    """`variant` chooses background and icon; `action` is the button's text, empty for none."""

    __events__ = ("on_act",)

    variant = OptionProperty("info", options=list(_ICONS))
    text = StringProperty("")
    icon = StringProperty("")
    action = StringProperty("")

    def on_act(self) -> None:
        """The button was pressed."""

    def on_kv_post(self, _base: Any) -> None:
        icon = FeexPayIcon(
            name=self.icon or _ICONS[self.variant], tone=self.variant, size=("22dp", "22dp"), pos_hint={"center_y": 0.5}
        )
        self.bind(variant=icon.setter("tone"), icon=icon.setter("name"))
        self.add_widget(icon, index=1)
        self.bind(action=self._show_action)
        self._show_action()

    def _show_action(self, *_args: object) -> None:
        for child in self.children[:]:
            if isinstance(child, FeexPayBannerAction):
                tear_down(child)
                self.remove_widget(child)
        if self.action:
            link = FeexPayBannerAction(text=self.action, tone=self.variant)
            link.bind(on_release=lambda *_: self.dispatch("on_act"))
            self.add_widget(link)


class FeexPayBannerAction(FeexPayPressable, FeexPayBaseText):
    """The button at the end of a banner."""


load_kv(__file__)
