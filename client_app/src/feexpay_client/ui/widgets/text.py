"""Labels, and the boxes that hold them."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, NumericProperty, OptionProperty, StringProperty, VariableListProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.label import Label
from kivy.uix.layout import Layout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import TYPE


class BaseText(Label):
    """A label without a size. `style` from the type scale, `tone` from the colour tokens.

    kv rules of a base class stay bound beside those of a subclass; so this one sets no size, and
    each class below sets its own.
    """

    style = OptionProperty("body", options=list(TYPE))
    tone = StringProperty("ink")


class Text(BaseText):
    """A paragraph: as wide as it may be, as high as it must be."""


class OneLine(Text):
    """One line that ends in … where the text does not fit."""


class InlineText(BaseText):
    """As wide as its text: for prices and other things that never wrap."""


class Fitted(BaseText):
    """As wide as its text, and no wider than `room`: then it wraps."""

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


class Column(Layout):
    """A vertical stack, as high as its children. A child without height takes no spacing either.

    A child keeps its width where it says so (`size_hint_x: None`) and then may stand by `pos_hint` (`center_x`,
    `right`); else it is as wide as the column.
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


class Maybe(Column):
    """Its children are there only while `shown`: hidden ones cost nothing and catch no taps."""

    shown = BooleanProperty(True)

    def __init__(self, **kwargs: Any) -> None:
        self.kept: list[Any] = []
        super().__init__(**kwargs)

    def add_widget(self, widget: Any, *args: Any, **kwargs: Any) -> None:
        if self.shown:
            super().add_widget(widget, *args, **kwargs)
        else:
            self.kept.append(widget)

    def on_shown(self, _widget: Any, shown: bool) -> None:
        if shown:
            kept, self.kept = self.kept, []
            for child in kept:
                self.add_widget(child)
        else:
            self.kept = list(reversed(self.children)) + self.kept
            self.clear_widgets()


class Row(BoxLayout):
    """A horizontal row, as high as its highest child."""


class Card(Column):
    """A raised box. `ground` is its colour, `outlined` draws its edge."""

    ground = StringProperty("surface")
    outlined = BooleanProperty(True)


load_kv(__file__)
