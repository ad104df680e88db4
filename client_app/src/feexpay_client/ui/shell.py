"""The frame around the screens: navigation, banner, sheets, and the Esc key.

On a phone the navigation bar is at the bottom, on a wide window at the left.
"""

from __future__ import annotations

from typing import Any

from kivy.metrics import dp
from kivy.properties import BooleanProperty, ListProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.floatlayout import FloatLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.teardown import empty
from feexpay_client.ui.theme import WIDE_DP
from feexpay_client.ui.widgets.button import FeexPayPressable
from feexpay_client.ui.widgets.focus import focusables
from feexpay_client.ui.widgets.sheet import FeexPaySheet


class FeexPayNavigationItem(FeexPayPressable, BoxLayout):
    """One entry of the navigation bar."""

    name = StringProperty("")
    icon = StringProperty("")
    text = StringProperty("")
    active = BooleanProperty(False)


class FeexPayNavigationBar(BoxLayout):
    """Buttons for the main screens. `options` are (name, icon, text)."""

    options = ListProperty()
    value = StringProperty("")
    go = ObjectProperty(None)
    arrow_group = True

    def on_options(self, *_args: object) -> None:
        empty(self)
        for name, icon, text in self.options:
            item = FeexPayNavigationItem(name=name, icon=icon, text=text, active=name == self.value)
            item.bind(on_release=lambda pressed: self.go(pressed.name))
            self.add_widget(item)

    def on_value(self, *_args: object) -> None:
        for item in self.children:
            item.active = item.name == self.value


class FeexPayShell(FloatLayout):
    """The root widget. `show` replaces the screen and drops the old one."""

    wide = BooleanProperty(False)
    active_item = StringProperty("")
    navigation_items = ListProperty()
    navigation_visible = BooleanProperty(False)
    banner_text = StringProperty("")
    banner_icon = StringProperty("")
    banner_variant = StringProperty("warning")
    banner_action = StringProperty("")
    go = ObjectProperty(lambda name: None)
    corner = NumericProperty(0)

    __events__ = ("on_back", "on_banner")

    def on_back(self) -> None:
        """Esc or the phone's back key was pressed."""

    def on_banner(self) -> None:
        """The banner's button was pressed."""

    def on_size(self, *_args: object) -> None:
        self.wide = self.width >= dp(WIDE_DP)

    @property
    def screen(self) -> Any:
        shown = self.ids.body.children
        return shown[0] if shown else None

    def show(self, screen: Any) -> None:
        """Close all sheets and replace the screen."""
        for sheet in self.sheets():
            sheet.close()
        empty(self.ids.body)
        self.ids.body.add_widget(screen)

    def leave_screen(self) -> None:
        """Tell the screen that another one replaces it."""
        if self.screen is not None and hasattr(self.screen, "leave"):
            self.screen.leave()

    def focus_first(self) -> None:
        """Focus the first widget of the screen, if it is in a window."""
        first = self.screen.first_focus() if self.screen is not None else None
        if first is not None and first.get_root_window() is not None:
            first.take_focus()

    def sheets(self) -> list[FeexPaySheet]:
        """The open sheets, topmost first."""
        return [child for child in self.children if isinstance(child, FeexPaySheet)]

    def open_sheet(self, sheet: FeexPaySheet) -> None:
        before = next((stop for stop in focusables(self) if stop.focus), None)
        sheet.corner = self.corner
        self.add_widget(sheet)
        sheet.take_focus()
        if before is not None:
            sheet.bind(on_close=lambda *_: _focus_again(before))

    def focus_scope(self) -> Any:
        """The widget whose descendants Tab may reach: the topmost sheet, else everything."""
        return next(iter(self.sheets()), self)

    def go_back(self) -> None:
        sheets = self.sheets()
        if sheets:
            sheets[0].close()
        else:
            self.dispatch("on_back")


def _focus_again(widget: Any) -> None:
    if widget.get_root_window() is not None:
        widget.focus = True


class FeexPayScreen(BoxLayout):
    """Base of all screens. `vm` is the presenter, `host` the app or sheet around it; `wide`: room for two columns."""

    vm = ObjectProperty(None, rebind=True)
    host = ObjectProperty(None)
    wide = BooleanProperty(False)

    def first_focus(self) -> Any:
        """The widget to focus when the screen appears; None leaves the focus alone."""
        return None


class FeexPayTopBar(BoxLayout):
    """A title with a back button."""

    title = StringProperty("")
    action_name = StringProperty("back")
    icon = StringProperty("back")

    __events__ = ("on_back",)

    def on_back(self) -> None:
        """The back button was pressed."""


load_kv(__file__)
