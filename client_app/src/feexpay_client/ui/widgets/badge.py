"""Small signs of our own: a provider's letters, a country's code. No operator's logo, wordmark or brand colour."""

from __future__ import annotations

from kivy.properties import BooleanProperty, ListProperty, NumericProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import deep


class Badge(AnchorLayout):
    """A rounded square of a deep ground with one to three letters. `faded` where it cannot be chosen."""

    monogram = StringProperty("")
    color = StringProperty("")
    key = StringProperty("")
    side = NumericProperty("44dp")
    faded = BooleanProperty(False)
    ground = ListProperty([0, 0, 0, 1])

    def on_color(self, *_args: object) -> None:
        self.ground = deep(self.color, self.key or self.monogram)

    def on_monogram(self, *_args: object) -> None:
        self.on_color()


load_kv(__file__)
