"""Labels, columns, rows and cards."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, NumericProperty, OptionProperty, StringProperty, VariableListProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.label import Label
from kivy.uix.layout import Layout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import TYPE


class FeexPayBaseText(Label):
    """A label without a size. `style` is a key of `TYPE`, `tone` a colour token.

    The kv rules of a base class also apply to its subclasses, so this one sets no size and each subclass sets its own.
    """

    style = OptionProperty("body", options=list(TYPE))
    tone = StringProperty("ink")


class FeexPayText(FeexPayBaseText):
    """A paragraph: takes the full width and the height its text needs."""


class FeexPayOneLine(FeexPayText):
    """One line, shortened with … if it does not fit."""


class FeexPayInlineText(FeexPayBaseText):
    """As wide as its text, never wrapped: for prices."""


class FeexPayWrappingText(FeexPayBaseText):
    """As wide as its text; it wraps at `room` pixels."""

    room = NumericProperty("200dp")

    def on_kv_post(self, _base: Any) -> None:
        self.bind(room=self._refit, text=self._refit, font_size=self._refit)
        self._refit()

    def _refit(self, *_args: object) -> None:
        self.text_size = (None, None)
        self.texture_update()
        if self.texture_size[0] > self.room:
            self.text_size = (self.room, None)
            self.texture_update()


class FeexPayColumn(Layout):
    """A vertical stack, as high as its children. A child without height gets no spacing.

    A child is as wide as the column. With `size_hint_x: None` it keeps its width and may set `pos_hint` (`center_x`,
    `right`).
    """

    spacing = NumericProperty("12dp")
    padding = VariableListProperty([0, 0, 0, 0])
    minimum_height = NumericProperty(0)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        trigger = self._trigger_layout
        for name in ("children", "spacing", "padding", "size", "pos"):
            self.fbind(name, trigger)
        trigger()

    def do_layout(self, *_args: object) -> None:
        left, top, right, bottom = self.padding
        shown = [child for child in reversed(self.children) if child.height > 0]
        room = self.width - left - right
        self.minimum_height = (
            top + bottom + sum(child.height for child in shown) + self.spacing * (len(shown) - 1 if shown else 0)
        )
        y = self.top - top
        for child in shown:
            if child.size_hint_x is not None:
                child.width = room * child.size_hint_x
            child.x = self.x + left + _offset(child, room)
            y -= child.height
            child.y = y
            y -= self.spacing


def _offset(child: Any, room: float) -> float:
    hint = child.pos_hint or {}
    if "center_x" in hint:
        return float(room * hint["center_x"] - child.width / 2)
    return float(room - child.width) if "right" in hint else 0.0


class FeexPayConditionalColumn(FeexPayColumn):
    """Contains its children only while `shown`: hidden ones take no space and no taps."""

    shown = BooleanProperty(True)

    def __init__(self, **kwargs: Any) -> None:
        self.hidden_children: list[Any] = []
        super().__init__(**kwargs)

    def add_widget(self, widget: Any, *args: Any, **kwargs: Any) -> None:
        if self.shown:
            super().add_widget(widget, *args, **kwargs)
        else:
            self.hidden_children.append(widget)

    def on_shown(self, _widget: Any, shown: bool) -> None:
        if shown:
            children, self.hidden_children = self.hidden_children, []
            for child in children:
                self.add_widget(child)
        else:
            self.hidden_children = list(reversed(self.children)) + self.hidden_children
            self.clear_widgets()


class FeexPayRow(BoxLayout):
    """A horizontal row, as high as its highest child."""


class FeexPayCard(FeexPayColumn):
    """A box with round corners. `background` is a colour token; `outlined` draws an edge."""

    background = StringProperty("surface")
    outlined = BooleanProperty(True)


load_kv(__file__)
