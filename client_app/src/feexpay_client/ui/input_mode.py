"""Whether the payer uses the keyboard or touch and mouse."""

from __future__ import annotations

from typing import Any

from kivy.event import EventDispatcher
from kivy.properties import BooleanProperty


class InputMode(EventDispatcher):
    """`keyboard` is true after a key press: the focus ring is drawn only then."""

    keyboard = BooleanProperty(False)


input_mode = InputMode()


def follow_touch(_window: Any, touch: Any) -> bool:
    """End the use of the keyboard at a touch or a click, but not when the wheel turns. Bind it to `on_touch_down`."""
    if not getattr(touch, "is_mouse_scrolling", False):
        input_mode.keyboard = False
    return False
