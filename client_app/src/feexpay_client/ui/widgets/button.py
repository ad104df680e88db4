"""Buttons, chips, choices and the toggle."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, NumericProperty, OptionProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.stacklayout import StackLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.teardown import empty
from feexpay_client.ui.widgets.focus import FeexPayFocusable
from feexpay_client.ui.widgets.icon import FeexPayIcon
from feexpay_client.ui.widgets.ring import FeexPayRing
from feexpay_client.ui.widgets.text import FeexPayBaseText

#: kind → (background, text, edge), as theme tokens.
_KINDS = {
    "primary": ("primary", "primary_ink", None),
    "secondary": ("surface", "ink", "border"),
    "soft": ("primary_soft", "primary", None),
    "quiet": (None, "primary", None),
    "danger": ("danger", "danger_ink", None),
}


class FeexPayPressable(FeexPayFocusable, ButtonBehavior):
    """Can be pressed by finger, mouse and keyboard. A drag that leaves it does not press."""


class FeexPayTextButton(FeexPayPressable, AnchorLayout):
    """A button with text. While `busy` it shows a spinner and ignores presses."""

    text = StringProperty("")
    icon = StringProperty("")
    kind = OptionProperty("primary", options=list(_KINDS))
    busy = BooleanProperty(False)

    def tone(self, part: int, kind: str, disabled: bool) -> str:
        """Theme token of the background (0), the text (1) or the edge (2); empty for none."""
        if disabled and kind not in ("quiet", "secondary"):
            return ("sunken", "muted", "")[part]
        if disabled:
            return ("", "muted", "border" if kind == "secondary" else "")[part]
        return _KINDS[kind][part] or ""

    def on_kv_post(self, _base: Any) -> None:
        self.bind(
            icon=self._show_leading, busy=self._show_leading, kind=self._show_leading, disabled=self._show_leading
        )
        self._show_leading()

    def on_touch_down(self, touch: Any) -> bool:
        return bool(super().on_touch_down(touch)) if not self.busy else self.collide_point(*touch.pos)

    def _show_leading(self, *_args: object) -> None:
        """Show the spinner, the icon or nothing before the text."""
        slot, tone = self.ids.slot, self.tone(1, self.kind, self.disabled)
        empty(slot)
        if self.busy:
            slot.add_widget(
                FeexPayRing(size_hint=(None, None), size=(self.ids.words.font_size * 1.3,) * 2, tone=tone, weight=2)
            )
        elif self.icon:
            slot.add_widget(FeexPayIcon(name=self.icon, tone=tone, size=(self.ids.words.font_size * 1.35,) * 2))


class FeexPayIconButton(FeexPayPressable, AnchorLayout):
    """A button with an icon, at least 48 dp large. Tests find it by `action_name`."""

    icon = StringProperty("cross")
    tone = StringProperty("ink")
    action_name = StringProperty("")


class FeexPayChip(FeexPayPressable, BoxLayout):
    """A small option; `active`: it is chosen."""

    text = StringProperty("")
    icon = StringProperty("")
    active = BooleanProperty(False)

    def on_kv_post(self, _base: Any) -> None:
        if self.icon:
            self.add_widget(
                FeexPayIcon(name=self.icon, size=("18dp", "18dp"), tone="primary", pos_hint={"center_y": 0.5}), index=1
            )


class FeexPayChips(StackLayout):
    """Chips beside one another; those that do not fit are on the next line. The arrow keys move between them."""

    arrow_group = True


class FeexPayChoice(BoxLayout):
    """A few values side by side, one of them chosen. `options` are (value, text)."""

    options = ListProperty()
    value = StringProperty("")
    arrow_group = True

    def on_options(self, *_args: object) -> None:
        empty(self)
        for value, words in self.options:
            part = FeexPayChoicePart(text=words, value=value, active=value == self.value)
            part.bind(on_release=self._choose)
            self.add_widget(part)

    def on_value(self, *_args: object) -> None:
        for part in self.children:
            part.active = part.value == self.value

    def _choose(self, part: FeexPayChoicePart) -> None:
        self.value = part.value


class FeexPayChoicePart(FeexPayPressable, AnchorLayout):
    text = StringProperty("")
    value = StringProperty("")
    active = BooleanProperty(False)
    minimum_high = NumericProperty("52dp")


class FeexPayToggle(FeexPayPressable, AnchorLayout):
    """An on-off switch. The knob moves too, so that colour is not the only cue."""

    active = BooleanProperty(False)

    def on_release(self) -> None:
        self.active = not self.active


class FeexPayTag(FeexPayBaseText):
    """A short text on a soft background, such as the status of a payment."""

    variant = OptionProperty("primary", options=["primary", "danger", "warning", "info", "plain"])


load_kv(__file__)
