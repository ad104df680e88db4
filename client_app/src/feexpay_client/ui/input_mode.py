"""How the payer steers right now."""

from __future__ import annotations

from kivy.event import EventDispatcher
from kivy.properties import BooleanProperty


class Hands(EventDispatcher):
    """`keyboard` is true while the payer steers by keys: only then is the focus ring drawn."""

    keyboard = BooleanProperty(False)


hands = Hands()
