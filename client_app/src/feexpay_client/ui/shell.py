"""The frame around the screens: the way between them, the banner, the sheets, and where Esc leads.

On a phone the three places stand below; where there is room they stand at the left.
"""

from __future__ import annotations

from typing import Any

from kivy.metrics import dp
from kivy.properties import BooleanProperty, ListProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.floatlayout import FloatLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.teardown import empty
from feexpay_client.ui.theme import WIDE_DP
from feexpay_client.ui.widgets.button import Pressable
from feexpay_client.ui.widgets.focus import focusables
from feexpay_client.ui.widgets.sheet import Sheet


class Place(Pressable, BoxLayout):
    """One of the places of the app."""

    name = StringProperty("")
    icon = StringProperty("")
    words = StringProperty("")
    active = BooleanProperty(False)


class Places(BoxLayout):
    """All of them, beside or above each other. `options` are (name, icon, words)."""

    options = ListProperty()
    value = StringProperty("")
    go = ObjectProperty(None)
    arrow_group = True

    def on_options(self, *_args: object) -> None:
        empty(self)
        for name, icon, said in self.options:
            place = Place(name=name, icon=icon, words=said, active=name == self.value)
            place.bind(on_release=lambda pressed: self.go(pressed.name))
            self.add_widget(place)

    def on_value(self, *_args: object) -> None:
        for place in self.children:
            place.active = place.name == self.value


class Shell(FloatLayout):
    """The root of the window. `show` replaces the screen; what a screen covers is not kept."""

    wide = BooleanProperty(False)
    place = StringProperty("")
    places = ListProperty()
    with_places = BooleanProperty(False)
    banner_text = StringProperty("")
    banner_icon = StringProperty("")
    banner_mood = StringProperty("warning")
    banner_action = StringProperty("")
    go = ObjectProperty(lambda name: None)

    __events__ = ("on_back", "on_banner")

    def on_back(self) -> None:
        """Esc, or the back key of the phone."""

    def on_banner(self) -> None:
        """The word in the banner was pressed."""

    def on_size(self, *_args: object) -> None:
        self.wide = self.width >= dp(WIDE_DP)

    @property
    def screen(self) -> Any:
        """The screen that is shown."""
        shown = self.ids.body.children
        return shown[0] if shown else None

    def show(self, screen: Any) -> None:
        """That screen and no sheet; the focus is not left behind on what is gone."""
        for sheet in self.sheets():
            sheet.close()
        empty(self.ids.body)
        self.ids.body.add_widget(screen)

    def sheets(self) -> list[Sheet]:
        """Open sheets, the topmost first."""
        return [child for child in self.children if isinstance(child, Sheet)]

    def open_sheet(self, sheet: Sheet) -> None:
        before = next((stop for stop in focusables(self) if stop.focus), None)
        self.add_widget(sheet)
        sheet.take_focus()
        if before is not None:
            sheet.bind(on_close=lambda *_: _focus_again(before))

    def focus_scope(self) -> Any:
        """Where Tab may lead."""
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


class Screen(BoxLayout):
    """What stands in the frame. `vm` is its presenter, `wide` whether there is room for two columns."""

    vm = ObjectProperty(None, rebind=True)
    app = ObjectProperty(None)
    wide = BooleanProperty(False)

    def first_focus(self) -> Any:
        """What should have the focus when the screen appears; None leaves it alone."""
        return None


class TopBar(BoxLayout):
    """A title with the way back."""

    title = StringProperty("")
    says = StringProperty("back")
    icon = StringProperty("back")

    __events__ = ("on_back",)

    def on_back(self) -> None:
        """The arrow was pressed."""


load_kv(__file__)
