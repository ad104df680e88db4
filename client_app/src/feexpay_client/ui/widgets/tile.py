"""Tiles for providers and coin packs."""

from __future__ import annotations

from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.floatlayout import FloatLayout
from kivy.uix.gridlayout import GridLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.widgets.button import FeexPayPressable


class FeexPayTileGrid(GridLayout):
    """A grid of tiles; the arrow keys move between them."""

    arrow_group = True


class FeexPayProviderTile(FeexPayPressable, FloatLayout):
    """A provider that can be chosen. `chosen` shows an edge and a tick."""

    code = StringProperty("")
    name = StringProperty("")
    monogram = StringProperty("")
    color = StringProperty("")
    chosen = BooleanProperty(False)
    edge = NumericProperty(1)


class FeexPayProviderNotice(BoxLayout):
    """An unavailable provider and the reason."""

    name = StringProperty("")
    monogram = StringProperty("")
    reason = StringProperty("")


class FeexPayPackTile(FeexPayPressable, BoxLayout):
    """A coin pack and its price; `note` is a tag such as "Best value". `stacked`: the price is below, not beside."""

    coins = StringProperty("")
    unit = StringProperty("")
    name = StringProperty("")
    price = StringProperty("")
    note = StringProperty("")
    stacked = BooleanProperty(False)
    edge = NumericProperty(1)


load_kv(__file__)
