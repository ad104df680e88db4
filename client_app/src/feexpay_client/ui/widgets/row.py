"""List rows, and the grey skeletons shown while rows load."""

from __future__ import annotations

from kivy.clock import Clock
from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.theme import theme
from feexpay_client.ui.widgets.button import FeexPayPressable
from feexpay_client.ui.widgets.text import FeexPayColumn


class FeexPayList(FeexPayColumn):
    """A column of rows; the arrow keys move between them."""

    arrow_group = True


class FeexPayListRow(FeexPayPressable, BoxLayout):
    """Badge and text; at the end a value, a tick if chosen, or a chevron."""

    title = StringProperty("")
    subtitle = StringProperty("")
    monogram = StringProperty("")
    color = StringProperty("")
    value = StringProperty("")
    chosen = BooleanProperty(False)
    chevron = BooleanProperty(False)


class FeexPayPaymentRow(FeexPayPressable, BoxLayout):
    """One payment of the history. `variant` colours `state_text`; `stacked`: the amount is below the title."""

    title = StringProperty("")
    subtitle = StringProperty("")
    monogram = StringProperty("")
    color = StringProperty("")
    amount = StringProperty("")
    state_text = StringProperty("")
    variant = StringProperty("info")
    chosen = BooleanProperty(False)
    stacked = BooleanProperty(False)


class FeexPayFact(BoxLayout):
    """A name at the left, its value at the right; `strong` for the total."""

    name = StringProperty("")
    value = StringProperty("")
    strong = BooleanProperty(False)


class FeexPayRule(Widget):
    """A thin line between rows."""


class FeexPaySkeleton(Widget):
    """A grey placeholder. It pulses twice a second, which costs little CPU."""

    shade = NumericProperty(1.0)
    corner = NumericProperty("10dp")

    def on_parent(self, _widget: Widget, parent: Widget | None) -> None:
        Clock.unschedule(self._pulse)
        if parent is not None and not theme.reduced_motion:
            Clock.schedule_interval(self._pulse, 0.5)

    def _pulse(self, _seconds: float) -> bool:
        self.shade = 0.6 if self.shade == 1 else 1.0
        return self.get_root_window() is not None


load_kv(__file__)
