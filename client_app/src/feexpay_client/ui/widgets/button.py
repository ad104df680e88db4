"""Things to press: the button of words, the button of one icon, the chip, the choice of a few."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, NumericProperty, OptionProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.teardown import empty
from feexpay_client.ui.widgets.focus import Focusable
from feexpay_client.ui.widgets.icon import Icon
from feexpay_client.ui.widgets.ring import Ring
from feexpay_client.ui.widgets.text import BaseText

#: kind → (ground, words, edge), as tokens.
_KINDS = {
    "primary": ("primary", "primary_ink", None),
    "secondary": ("surface", "ink", "border"),
    "soft": ("primary_soft", "primary", None),
    "quiet": (None, "primary", None),
    "danger": ("danger", "danger_ink", None),
}


class Pressable(Focusable, ButtonBehavior):
    """Can be pressed by finger, mouse and keyboard; a drag that began on it and left does not press."""


class TextButton(Pressable, AnchorLayout):
    """Does something. While `busy` it turns a ring and takes no press."""

    text = StringProperty("")
    icon = StringProperty("")
    kind = OptionProperty("primary", options=list(_KINDS))
    busy = BooleanProperty(False)

    def tone(self, part: int, kind: str, disabled: bool) -> str:
        """Token of the ground (0), the words (1) or the edge (2); empty where nothing is drawn."""
        if disabled and kind not in ("quiet", "secondary"):
            return ("sunken", "muted", "")[part]
        if disabled:
            return ("", "muted", "border" if kind == "secondary" else "")[part]
        return _KINDS[kind][part] or ""

    def on_kv_post(self, _base: Any) -> None:
        self.bind(icon=self._dress, busy=self._dress, kind=self._dress, disabled=self._dress)
        self._dress()

    def on_touch_down(self, touch: Any) -> bool:
        return bool(super().on_touch_down(touch)) if not self.busy else self.collide_point(*touch.pos)

    def _dress(self, *_args: object) -> None:
        """What stands before the words: the ring, the icon, or nothing."""
        slot, tone = self.ids.slot, self.tone(1, self.kind, self.disabled)
        empty(slot)
        if self.busy:
            slot.add_widget(
                Ring(size_hint=(None, None), size=(self.ids.words.font_size * 1.3,) * 2, tone=tone, weight=2)
            )
        elif self.icon:
            slot.add_widget(Icon(name=self.icon, tone=tone, size=(self.ids.words.font_size * 1.35,) * 2))


class IconButton(Pressable, AnchorLayout):
    """One icon, 48 dp to hit. `says` is what it does, for tests and people who read code."""

    icon = StringProperty("cross")
    tone = StringProperty("ink")
    says = StringProperty("")


class Chip(Pressable, BoxLayout):
    """A small choice among others; `active` is the chosen one."""

    text = StringProperty("")
    icon = StringProperty("")
    active = BooleanProperty(False)

    def on_kv_post(self, _base: Any) -> None:
        if self.icon:
            self.add_widget(
                Icon(name=self.icon, size=("18dp", "18dp"), tone="primary", pos_hint={"center_y": 0.5}), index=1
            )


class Choice(BoxLayout):
    """A few values beside each other, one of them chosen. `options` are (value, words)."""

    options = ListProperty()
    value = StringProperty("")
    arrow_group = True

    def on_options(self, *_args: object) -> None:
        empty(self)
        for value, words in self.options:
            part = ChoicePart(text=words, value=value, active=value == self.value)
            part.bind(on_release=self._choose)
            self.add_widget(part)

    def on_value(self, *_args: object) -> None:
        for part in self.children:
            part.active = part.value == self.value

    def _choose(self, part: ChoicePart) -> None:
        self.value = part.value


class ChoicePart(Pressable, AnchorLayout):
    text = StringProperty("")
    value = StringProperty("")
    active = BooleanProperty(False)
    minimum_high = NumericProperty("52dp")


class Toggle(Pressable, AnchorLayout):
    """On or off; the knob stands right and the ground is coloured when on, so colour is not the only sign."""

    active = BooleanProperty(False)

    def on_release(self) -> None:
        self.active = not self.active


class Tag(BaseText):
    """A word on a soft ground: the state of a payment, the best offer. `mood` is a tone that has a soft ground."""

    mood = OptionProperty("primary", options=["primary", "danger", "warning", "info", "plain"])


load_kv(__file__)
