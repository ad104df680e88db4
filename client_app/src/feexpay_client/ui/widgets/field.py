"""A text field with label, hint and error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, OptionProperty, StringProperty
from kivy.uix.textinput import TextInput

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.teardown import tear_down
from feexpay_client.ui.widgets.button import FeexPayIconButton
from feexpay_client.ui.widgets.focus import FeexPayFocusable, bring_into_view
from feexpay_client.ui.widgets.icon import FeexPayIcon
from feexpay_client.ui.widgets.text import FeexPayColumn, FeexPayInlineText

#: Typed text → formatted text. Only separators may differ.
Formatter = Callable[[str], str]


class FeexPayEntry(FeexPayFocusable, TextInput):
    """The text input. A formatter may group the digits; the caret stays after the same character."""

    formatter: Formatter | None = ObjectProperty(None, allownone=True)
    pressing_keys = ()
    text: str

    def insert_text(self, substring: str, from_undo: bool = False) -> None:
        super().insert_text(substring, from_undo)
        self._group()

    def do_backspace(self, from_undo: bool = False, mode: str = "bkspc") -> None:
        caret = self.cursor_index()
        # The formatter added the separator: delete the character before it.
        if not self.selection_text and self.formatter and caret and not self.text[caret - 1].isalnum():
            self.cursor = self.get_cursor_from_index(caret - 1)
        super().do_backspace(from_undo, mode)
        self._group()

    def delete_selection(self, from_undo: bool = False) -> None:
        super().delete_selection(from_undo)
        self._group()

    def keyboard_on_key_down(self, window: Any, keycode: Any, text: str, modifiers: list[str]) -> bool:
        if keycode[1] in ("tab", "escape"):
            return bool(FeexPayFocusable.keyboard_on_key_down(self, window, keycode, text, modifiers))
        return bool(TextInput.keyboard_on_key_down(self, window, keycode, text, modifiers))

    def on_focus(self, _widget: Any, focused: bool) -> None:
        if focused:
            bring_into_view(self)

    def _group(self) -> None:
        if self.formatter is None:
            return
        written, caret = self.text, self.cursor_index()
        grouped = self.formatter(written)
        if grouped != written:
            before = sum(character.isalnum() for character in written[:caret])
            self.text = grouped
            self.cursor = self.get_cursor_from_index(_index_after(grouped, before))


def _index_after(text: str, characters: int) -> int:
    """The index in `text` after that many letters and digits."""
    seen = 0
    for index, character in enumerate(text):
        if seen == characters:
            return index
        seen += character.isalnum()
    return len(text)


class FeexPayField(FeexPayColumn):
    """`error` replaces `hint`. Enter dispatches `on_submit`."""

    __events__ = ("on_submit",)

    label = StringProperty("")
    text = StringProperty("")
    hint = StringProperty("")
    error = StringProperty("")
    placeholder = StringProperty("")
    prefix = StringProperty("")
    icon = StringProperty("")
    secret = BooleanProperty(False)
    input_type = OptionProperty("text", options=["null", "text", "number", "url", "mail", "datetime", "tel", "address"])
    formatter = ObjectProperty(None, allownone=True)
    focused = BooleanProperty(False)
    edge = NumericProperty(1)

    def on_submit(self) -> None:
        """Enter was pressed."""

    def on_kv_post(self, _base: Any) -> None:
        self.ids.entry.bind(
            text=self.setter("text"),
            focus=self.setter("focused"),
            on_text_validate=lambda *_: self.dispatch("on_submit"),
        )
        self.bind(text=self._set_entry_text, error=self._scroll_to_error)
        self._set_entry_text()
        self.bind(prefix=self._show_prefix)
        self._show_prefix()
        if self.secret:
            eye = FeexPayIconButton(icon="eye", tone="muted", action_name="show", pos_hint={"center_y": 0.5})
            eye.bind(on_release=lambda *_: setattr(self.ids.entry, "password", not self.ids.entry.password))
            self.ids.box.add_widget(eye)

    def _show_prefix(self, *_args: object) -> None:
        """Show the icon and the prefix (such as +229) before the input."""
        box = self.ids.box
        for child in box.children[:]:
            if isinstance(child, FeexPayIcon | FeexPayInlineText):
                tear_down(child)
                box.remove_widget(child)
        if self.prefix:
            box.add_widget(
                FeexPayInlineText(text=self.prefix, tone="muted", pos_hint={"center_y": 0.5}), len(box.children)
            )
        if self.icon:
            icon = FeexPayIcon(name=self.icon, tone="muted", size=("20dp", "20dp"), pos_hint={"center_y": 0.5})
            box.add_widget(icon, len(box.children))

    def take_focus(self) -> None:
        self.ids.entry.focus = True

    def _set_entry_text(self, *_args: object) -> None:
        entry = self.ids.entry
        if entry.text != self.text:
            entry.text = self.text
            entry.cursor = entry.get_cursor_from_index(len(self.text))

    def _scroll_to_error(self, *_args: object) -> None:
        if self.error:
            bring_into_view(self)


load_kv(__file__)
