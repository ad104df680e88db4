"""The big drawn tick, cross or clock of a result, on its soft ground."""

from __future__ import annotations

from kivy.properties import OptionProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from feexpay_client.ui.kv import load_kv


class ResultIcon(AnchorLayout):
    """A round ground with one icon on it."""

    icon = StringProperty("tick")
    mood = OptionProperty("primary", options=["primary", "danger", "warning", "info"])


load_kv(__file__)
