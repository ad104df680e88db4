"""The large tick, cross or clock of a result."""

from __future__ import annotations

from typing import Any

from kivy.animation import Animation
from kivy.properties import NumericProperty, OptionProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import theme

_SECONDS = 0.45


class FeexPayResultIcon(AnchorLayout):
    """An icon on a round background. `celebrate` lets it grow once, unless the payer wants less motion."""

    icon = StringProperty("tick")
    variant = OptionProperty("primary", options=["primary", "danger", "warning", "info"])
    grown = NumericProperty(1)

    def celebrate(self, *_args: Any) -> None:
        if not theme.reduced_motion:
            self.grown = 0.2
            Animation(grown=1, duration=_SECONDS, transition="out_back").start(self)


load_kv(__file__)
