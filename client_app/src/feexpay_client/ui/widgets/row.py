"""Rows of a list: a choice, a payment, a fact and its value; and the grey shapes that stand for rows to come."""

from __future__ import annotations

from kivy.clock import Clock
from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import theme
from feexpay_client.ui.widgets.button import Pressable
from feexpay_client.ui.widgets.text import Column


class List(Column):
    """Rows under each other; arrows move between them."""

    arrow_group = True


class ListRow(Pressable, BoxLayout):
    """Badge, words, and what stands at the end: a value, a mark for the chosen one, or a chevron."""

    title = StringProperty("")
    subtitle = StringProperty("")
    monogram = StringProperty("")
    color = StringProperty("")
    value = StringProperty("")
    chosen = BooleanProperty(False)
    chevron = BooleanProperty(False)


class PaymentRow(Pressable, BoxLayout):
    """One payment of the history. `state_text` in words, `mood` its tone."""

    title = StringProperty("")
    subtitle = StringProperty("")
    monogram = StringProperty("")
    color = StringProperty("")
    amount = StringProperty("")
    state_text = StringProperty("")
    mood = StringProperty("info")
    chosen = BooleanProperty(False)


class Fact(BoxLayout):
    """A name and its value at the other edge; `strong` for the sum."""

    name = StringProperty("")
    value = StringProperty("")
    strong = BooleanProperty(False)


class Rule(Widget):
    """A hairline between things."""


class Skeleton(Widget):
    """A grey shape where something will be. It breathes twice a second at most, so that waiting costs nothing."""

    shade = NumericProperty(1.0)
    corner = NumericProperty("10dp")

    def on_parent(self, _widget: Widget, parent: Widget | None) -> None:
        Clock.unschedule(self._breathe)
        if parent is not None and not theme.still:
            Clock.schedule_interval(self._breathe, 0.5)

    def _breathe(self, _seconds: float) -> bool:
        self.shade = 0.6 if self.shade == 1 else 1.0
        return self.get_root_window() is not None


load_kv(__file__)
