"""Badge with the letters of a provider or country. Never an operator's logo."""

from __future__ import annotations

from kivy.properties import BooleanProperty, ListProperty, NumericProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import badge_background


class FeexPayBadge(AnchorLayout):
    """A rounded square with one to three letters. `faded`: it cannot be chosen."""

    monogram = StringProperty("")
    color = StringProperty("")
    key = StringProperty("")
    side = NumericProperty("44dp")
    faded = BooleanProperty(False)
    background = ListProperty([0, 0, 0, 1])

    def on_color(self, *_args: object) -> None:
        self.background = badge_background(self.color, self.key or self.monogram)

    def on_monogram(self, *_args: object) -> None:
        self.on_color()


load_kv(__file__)
