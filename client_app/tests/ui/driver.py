"""Run the app frame by frame, without `app.run()`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from feexpay_client.ui.input_mode import input_mode
from feexpay_client.ui.screenshot import window_picture
from kivy.app import App
from kivy.base import EventLoop
from kivy.clock import Clock
from kivy.core.window import Window

_KEYS = {
    "tab": 9,
    "enter": 13,
    "escape": 27,
    "spacebar": 32,
    "up": 273,
    "down": 274,
    "right": 275,
    "left": 276,
    "backspace": 8,
}


class Driver:
    """Taps, types and reads the app. `size` is the app's part of the surface."""

    def __init__(self, app: Any, size: tuple[int, int] = (400, 720)) -> None:
        EventLoop.ensure_window()
        self.app, self.size = app, size
        self._before = {id(event) for event in Clock.get_events()}
        EventLoop.status = "started"
        App._running_app = app
        input_mode.keyboard = False
        app.root = app.build()
        app.root.size_hint = (None, None)
        app.root.size = size
        Window.add_widget(app.root)
        app.dispatch("on_start")
        self.frames(2)

    @property
    def root(self) -> Any:
        return self.app.root

    # --- time ---

    def frames(self, count: int = 1) -> None:
        for _ in range(count):
            EventLoop.idle()

    async def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Draw frames until the condition is true. The time limit only ends a failing test."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"timeout; showing {self.app.showing}: {self.texts()}")
            EventLoop.idle()
            await asyncio.sleep(0.001)
        self.frames(2)

    async def settle(self, rounds: int = 12) -> None:
        """Draw some frames, so that running tasks and the layout finish."""
        for _ in range(rounds):
            EventLoop.idle()
            await asyncio.sleep(0.001)

    async def until_showing(self, name: str) -> None:
        await self.until(lambda: self.app.showing == name)

    # --- input ---

    def tap(self, widget: Any) -> None:
        from kivy.tests.common import UnitTestTouch

        scroll_to(widget)
        self.frames(2)
        touch = UnitTestTouch(*widget.to_window(*widget.center))
        touch.touch_down()
        touch.touch_up()
        self.frames(2)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag a finger slowly from start to end."""
        from kivy.tests.common import UnitTestTouch

        touch = UnitTestTouch(*start)
        touch.touch_down()
        for step in range(1, 9):
            touch.touch_move(*(a + (b - a) * step / 8 for a, b in zip(start, end, strict=True)))
            self.frames(2)
        touch.touch_up()
        self.frames(2)

    def type(self, widget: Any, text: str) -> None:
        """Type into that text input, character by character."""
        if not widget.focus:
            self.tap(widget)
        assert widget.focus, "the text input did not take the focus"
        for character in text:
            Window.dispatch("on_textinput", character)
        self.frames()

    def key(self, name: str, *modifiers: str) -> None:
        code = _KEYS[name]
        if not Window.dispatch("on_key_down", code, 0, "", list(modifiers)):
            Window.dispatch("on_keyboard", code, 0, "", list(modifiers))
        Window.dispatch("on_key_up", code, 0)
        self.frames(2)

    # --- output ---

    def walk(self, kind: type[Any] | None = None) -> Iterator[Any]:
        for widget in self.root.walk():
            if kind is None or isinstance(widget, kind):
                yield widget

    def visible(self, kind: type[Any] | None = None) -> list[Any]:
        """Widgets in reading order that have a size and are not transparent."""
        return [w for w in self.walk(kind) if w.width > 0 and w.height > 0 and not _is_hidden(w)]

    def texts(self) -> list[str]:
        from kivy.uix.label import Label

        return [label.text for label in self.visible(Label) if label.text]

    def shows(self, words: str) -> bool:
        return any(words in text for text in self.texts())

    def find(self, text: str, kind: type[Any] | None = None) -> Any:
        """The button, row or tile with that text."""
        from feexpay_client.ui.widgets.button import FeexPayPressable

        for widget in self.visible(kind or FeexPayPressable):
            if any(getattr(widget, name, "") == text for name in ("text", "title", "action_name", "name", "coins")):
                return widget
        raise AssertionError(f"nothing to press has the text {text!r}: {self.texts()}")

    def focused(self) -> Any:
        from kivy.uix.behaviors import FocusBehavior

        return next((w for w in self.walk() if isinstance(w, FocusBehavior) and w.focus), None)

    def picture(self) -> Any:
        """A screenshot. Scroll bars, which would fade over time, keep their colour."""
        from kivy.animation import Animation
        from kivy.uix.scrollview import ScrollView

        for page in self.walk(ScrollView):
            Animation.stop_all(page, "_bar_color")
            page._bar_color = page.bar_color
        self.frames(2)
        return window_picture(self.size)

    # --- the end ---

    def close(self) -> None:
        self.app.dispatch("on_stop")
        for child in Window.children[:]:
            Window.remove_widget(child)
        Window.release_all_keyboards()
        for event in list(Clock.get_events()):
            if id(event) not in self._before:
                event.cancel()
        App._running_app = None


def scroll_to(widget: Any) -> None:
    """Scroll until the widget can be tapped."""
    from feexpay_client.ui.widgets.focus import bring_into_view

    bring_into_view(widget)


def _is_hidden(widget: Any) -> bool:
    while widget is not None and widget is not getattr(widget, "parent", None):
        if widget.opacity == 0:
            return True
        widget = widget.parent
    return False
