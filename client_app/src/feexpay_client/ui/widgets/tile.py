"""Tiles to choose from: a provider, a pack of coins."""

from __future__ import annotations

from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.floatlayout import FloatLayout
from kivy.uix.gridlayout import GridLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.widgets.button import Pressable


class TileGrid(GridLayout):
    """Tiles of one width, as many beside each other as fit. Arrows move between them."""

    arrow_group = True


class ProviderTile(Pressable, FloatLayout):
    """A way to pay. `chosen` shows an edge and a tick."""

    code = StringProperty("")
    name = StringProperty("")
    monogram = StringProperty("")
    color = StringProperty("")
    chosen = BooleanProperty(False)
    edge = NumericProperty(1)


class ProviderNotice(BoxLayout):
    """A way to pay that cannot be chosen now, and why."""

    name = StringProperty("")
    monogram = StringProperty("")
    reason = StringProperty("")


class PackTile(Pressable, BoxLayout):
    """A pack of coins and its price; `note` is a word above it, such as the best offer."""

    coins = StringProperty("")
    unit = StringProperty("")
    name = StringProperty("")
    price = StringProperty("")
    note = StringProperty("")
    edge = NumericProperty(1)


load_kv(__file__)
