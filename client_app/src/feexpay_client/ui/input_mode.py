"""Whether the payer uses the keyboard or touch and mouse."""

from __future__ import annotations

from kivy.event import EventDispatcher
from kivy.properties import BooleanProperty


class InputMode(EventDispatcher):
    """`keyboard` is true after a key press: the focus ring is drawn only then."""

    keyboard = BooleanProperty(False)


input_mode = InputMode()
