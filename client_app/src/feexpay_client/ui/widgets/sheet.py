"""A modal sheet: at the bottom on a phone, centred on a wide window."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.floatlayout import FloatLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.teardown import tear_down
from feexpay_client.ui.widgets.focus import focusables


class FeexPaySheet(FloatLayout):
    """Children are added to its scrolling column. Esc or a tap outside closes it.

    While open it keeps taps and the focus inside. `corner`: the radius of the frame that it darkens.
    """

    __events__ = ("on_close",)

    wide = BooleanProperty(False)
    title = StringProperty("")
    corner = NumericProperty(0)

    def on_close(self) -> None:
        """The sheet was closed, with or without a choice."""

    def add_widget(self, widget: Any, *args: Any, **kwargs: Any) -> None:
        column = self.ids.get("content")
        if column is None:
            super().add_widget(widget, *args, **kwargs)
        else:
            column.add_widget(widget, *args, **kwargs)

    def close(self) -> None:
        if self.parent is not None:
            self.parent.remove_widget(self)
            tear_down(self)
            self.dispatch("on_close")

    def take_focus(self) -> None:
        """Focus the first widget, so that Enter cannot press a covered one."""
        first = next(focusables(self.ids.content), None)
        if first is not None:
            first.focus = True

    def on_touch_down(self, touch: Any) -> bool:
        if not self.ids.panel.collide_point(*touch.pos):
            self.close()
            return True
        super().on_touch_down(touch)
        return True

    def on_touch_move(self, touch: Any) -> bool:
        super().on_touch_move(touch)
        return True

    def on_touch_up(self, touch: Any) -> bool:
        super().on_touch_up(touch)
        return True


load_kv(__file__)
