"""Keyboard focus: Tab, arrows, Enter and Esc.

Kivy supports neither sheets nor arrow keys. Here Tab follows the widget tree, a sheet keeps the focus inside, and
arrows move to the nearest widget of the same group.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from kivy.uix.behaviors import FocusBehavior
from kivy.uix.scrollview import ScrollView
from kivy.uix.widget import Widget

from feexpay_client.core.system_locale import is_phone
from feexpay_client.ui.input_mode import input_mode
from feexpay_client.ui.kv import load_kv

#: Key codes of the window's `on_keyboard`.
ESCAPE, TAB = 27, 9
_ARROWS = {"up": (0, 1), "down": (0, -1), "left": (-1, 0), "right": (1, 0)}


class FeexPayFocusable(FocusBehavior):
    """Can have the focus and shows a ring. Enter and space press it, Esc goes back."""

    #: Keys that press the widget. Text fields have none: there Enter submits.
    pressing_keys: tuple[str, ...] = ("enter", "numpadenter", "spacebar")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._frame: weakref.ref[Any] | None = None
        self.fbind("focus", self._remember_frame)
        # On a phone, a focused button would open the on-screen keyboard.
        if is_phone():
            self.is_focusable = False

    def keyboard_on_key_down(self, window: Any, keycode: Any, text: str, modifiers: list[str]) -> bool:
        name = keycode[1]
        if name == "tab":
            move_focus(self, backwards="shift" in modifiers, frame=self.frame())
        elif name == "escape":
            go_back(self.frame())
        elif name in self.pressing_keys:
            press(self)
        elif name in _ARROWS:
            return move_by_arrow(self, _ARROWS[name])
        else:
            return False
        return True

    def frame(self) -> Any:
        """The shell around it. A widget that was removed while it had the focus still gets the keys: its last shell."""
        return frame_of(self) or (self._frame() if self._frame is not None else None)

    def _remember_frame(self, _widget: Any, focused: bool) -> None:
        if focused and (frame := frame_of(self)) is not None:
            self._frame = weakref.ref(frame)

    def keyboard_on_key_up(self, _window: Any, _keycode: Any) -> bool:
        return False

    def on_focus(self, _widget: Widget, focused: bool) -> None:
        if focused and input_mode.keyboard:
            bring_into_view(self)


def press(widget: Any) -> None:
    """Do what a tap would do."""
    if not widget.disabled:
        widget.dispatch("on_release")


def frame_of(widget: Any) -> Any:
    """The shell around the widget, or None. A host app has widgets of its own outside of it."""
    while widget is not None and not hasattr(widget, "focus_scope"):
        widget = None if widget.parent is widget else widget.parent
    return widget


def go_back(frame: Any) -> None:
    if frame is not None:
        frame.go_back()


def focusables(scope: Widget) -> Iterator[Any]:
    """All descendants that can have the focus, in reading order."""
    if scope.disabled or scope.opacity == 0:
        return
    if isinstance(scope, FocusBehavior) and scope.is_focusable:
        yield scope
    for child in reversed(scope.children):
        yield from focusables(child)


def move_focus(widget: Any, backwards: bool, frame: Any) -> None:
    """Focus the frame's next widget; after the last comes the first."""
    stops = list(focusables(frame.focus_scope())) if frame is not None else []
    if not stops:
        return
    input_mode.keyboard = True
    step = -1 if backwards else 1
    here = stops.index(widget) if widget in stops else (0 if backwards else -1)
    _give_focus(stops[(here + step) % len(stops)])


def move_by_arrow(widget: Any, direction: tuple[int, int]) -> bool:
    """Focus the nearest widget in that direction within the group. Returns False if there is none."""
    group = _group_of(widget)
    if group is None:
        return False
    nearest = _nearest(widget, [stop for stop in focusables(group) if stop is not widget], direction)
    if nearest is None:
        return False
    input_mode.keyboard = True
    _give_focus(nearest)
    return True


def _group_of(widget: Any) -> Widget | None:
    parent = widget.parent
    while parent is not None and parent is not parent.parent:
        if getattr(parent, "arrow_group", False):
            return parent
        parent = parent.parent
    return None


def _nearest(widget: Any, stops: list[Any], direction: tuple[int, int]) -> Any:
    across, up = direction
    x, y = widget.to_window(*widget.center)

    def distance(stop: Any) -> float | None:
        right, above = (there - here for there, here in zip(stop.to_window(*stop.center), (x, y), strict=True))
        ahead, aside = (right * across, abs(above)) if across else (above * up, abs(right))
        return ahead + 2 * aside if ahead > 1 else None

    far = [(reach, index) for index, stop in enumerate(stops) if (reach := distance(stop)) is not None]
    return stops[min(far)[1]] if far else None


def _give_focus(widget: Any) -> None:
    widget.focus = True
    bring_into_view(widget)


def bring_into_view(widget: Any) -> None:
    parent = widget.parent
    while parent is not None and parent is not parent.parent:
        if isinstance(parent, ScrollView):
            parent.scroll_to(widget, padding=24, animate=False)
            return
        parent = parent.parent


load_kv(__file__)
