"""Page layouts: the scrolling page, two columns, the empty state, and the app's logo."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.image import Image
from kivy.uix.layout import Layout
from kivy.uix.scrollview import ScrollView

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import theme
from feexpay_client.ui.widgets.text import FeexPayColumn


class FeexPayPage(ScrollView):
    """A centred scrolling column of limited width; children are added to that column.

    Pulling it down at the top dispatches `on_pull`, which screens use to reload.
    """

    __events__ = ("on_pull", "on_end")

    widest = NumericProperty("560dp")

    def on_pull(self) -> None:
        """The page was pulled down and released."""

    def on_end(self) -> None:
        """The end of the page is less than a screen away."""

    def add_widget(self, widget: Any, *args: Any, **kwargs: Any) -> None:
        column = self.ids.get("column")
        if column is None:
            super().add_widget(widget, *args, **kwargs)
        else:
            column.add_widget(widget, *args, **kwargs)

    def on_kv_post(self, _base: Any) -> None:
        self.bind(scroll_y=self._detect_end)

    def on_touch_up(self, touch: Any) -> bool:
        overscroll = getattr(self.effect_y, "overscroll", 0)
        # Overscroll at the top is negative.
        if overscroll < -self.height * 0.08 and self.collide_point(*touch.pos):
            self.dispatch("on_pull")
        return bool(super().on_touch_up(touch))

    @property
    def scrolled(self) -> float:
        """How many pixels of the page are above its top edge."""
        return float(max(self.ids.column.height - self.height, 0) * min(max(1 - self.scroll_y, 0), 1))

    def _detect_end(self, *_args: object) -> None:
        below = (self.ids.column.height - self.height) * max(self.scroll_y, 0)
        if below < self.height:
            self.dispatch("on_end")


class FeexPayTwoColumns(Layout):
    """Two columns side by side if `wide`, else stacked. `share`: the left column's part of the width.

    scrolled: how far the page is scrolled. The right column follows, as far as the left one is longer.
    """

    wide = BooleanProperty(False)
    share = NumericProperty(0.5)
    gap = NumericProperty("24dp")
    scrolled = NumericProperty(0)
    minimum_height = NumericProperty(0)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("children", "wide", "share", "gap", "scrolled", "size", "pos"):
            self.fbind(name, self._trigger_layout)

    def do_layout(self, *_args: object) -> None:
        parts = [child for child in reversed(self.children) if child.height > 0 or child.children]
        if not self.wide or len(parts) < 2:
            return self._stack(parts)
        left, right = parts[:2]
        left.width = (self.width - self.gap) * self.share
        right.width = self.width - self.gap - left.width
        left.pos = (self.x, self.top - left.height)
        below = min(self.scrolled, max(left.height - right.height, 0))
        right.pos = (self.right - right.width, self.top - below - right.height)
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


class FeexPayEmptyState(FeexPayColumn):
    """Icon, title, text and button in place of a list that is empty or could not be loaded."""

    __events__ = ("on_act",)

    icon = StringProperty("info")
    title = StringProperty("")
    text = StringProperty("")
    action = StringProperty("")

    def on_act(self) -> None:
        """The button was pressed."""


class FeexPayAppLogo(AnchorLayout):
    """The brand's logo; without one, a coin with a tick on the brand's colour."""

    def on_kv_post(self, _base: Any) -> None:
        if theme.value.logo:
            self.canvas.before.clear()
            self.add_widget(Image(source=theme.value.logo, fit_mode="contain"))


load_kv(__file__)
