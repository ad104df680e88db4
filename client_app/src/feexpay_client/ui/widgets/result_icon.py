"""The large tick, cross or clock of a result."""

from __future__ import annotations

from kivy.properties import OptionProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from feexpay_client.ui.kv import load_kv


class ResultIcon(AnchorLayout):
    """An icon on a round background."""

    icon = StringProperty("tick")
    variant = OptionProperty("primary", options=["primary", "danger", "warning", "info"])


load_kv(__file__)
