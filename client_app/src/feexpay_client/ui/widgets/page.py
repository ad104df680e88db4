"""How a screen is filled: a scrolling page, two columns where there is room, and what stands where nothing is."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, NumericProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.layout import Layout
from kivy.uix.scrollview import ScrollView

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.widgets.text import Column


class Page(ScrollView):
    """A screen's scrolling column, centred and never wider than reads well. Children land in that column.

    Pulled down at its top it dispatches `on_pull`, where a screen has something to ask anew.
    """

    __events__ = ("on_pull", "on_end")

    widest = NumericProperty("560dp")
    pulling = BooleanProperty(False)

    def on_pull(self) -> None:
        """Pulled down far enough and let go."""

    def on_end(self) -> None:
        """The end of the page came into sight."""

    def add_widget(self, widget: Any, *args: Any, **kwargs: Any) -> None:
        column = self.ids.get("column")
        if column is None:
            super().add_widget(widget, *args, **kwargs)
        else:
            column.add_widget(widget, *args, **kwargs)

    def on_kv_post(self, _base: Any) -> None:
        self.bind(scroll_y=self._look_ahead)

    def on_touch_up(self, touch: Any) -> bool:
        overscroll = getattr(self.effect_y, "overscroll", 0)
        # Kivy counts beyond the top downwards.
        if overscroll < -self.height * 0.08 and self.collide_point(*touch.pos):
            self.dispatch("on_pull")
        return bool(super().on_touch_up(touch))

    def _look_ahead(self, *_args: object) -> None:
        hidden = (self.ids.column.height - self.height) * max(self.scroll_y, 0)
        if hidden < self.height:
            self.dispatch("on_end")


class TwoColumns(Layout):
    """Two columns beside each other where it is `wide`, else under each other. `share` is the left one's part."""

    wide = BooleanProperty(False)
    share = NumericProperty(0.5)
    gap = NumericProperty("24dp")
    minimum_height = NumericProperty(0)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("children", "wide", "share", "gap", "size", "pos"):
            self.fbind(name, self._trigger_layout)

    def do_layout(self, *_args: object) -> None:
        parts = [child for child in reversed(self.children) if child.height > 0 or child.children]
        if not self.wide or len(parts) < 2:
            return self._stack(parts)
        left, right = parts[:2]
        left.width = (self.width - self.gap) * self.share
        right.width = self.width - self.gap - left.width
        left.pos = (self.x, self.top - left.height)
        right.pos = (self.right - right.width, self.top - right.height)
        self.minimum_height = max(left.height, right.height)
        return None

    def _stack(self, parts: list[Any]) -> None:
        y, gap = self.top, self.gap * 0.75
        self.minimum_height = sum(part.height for part in parts) + gap * max(len(parts) - 1, 0)
        for part in parts:
            part.width = self.width
            y -= part.height
            part.pos = (self.x, y)
            y -= gap


class Placard(Column):
    """An icon, what it means, and what to do: where a list is empty or could not be loaded."""

    __events__ = ("on_act",)

    icon = StringProperty("info")
    title = StringProperty("")
    text = StringProperty("")
    action = StringProperty("")

    def on_act(self) -> None:
        """The button was pressed."""


class Emblem(AnchorLayout):
    """The sign of the app: a coin on its way, on our green."""

    ground = ListProperty([0, 0, 0, 1])


load_kv(__file__)
