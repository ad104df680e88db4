"""The end of a payment, and the receipt: after paying and out of the history."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import Screen
from feexpay_client.ui.teardown import empty
from feexpay_client.ui.widgets.button import IconButton
from feexpay_client.ui.widgets.text import Column

#: Signs that still fit beside their name on the narrowest screen.
_LONG = 26


class Receipt(Column):
    """ResultIcon, sum, reason, facts and what can be done. `ending` where a payment just ended."""

    vm = ObjectProperty(None, rebind=True)
    app = ObjectProperty(None)
    ending = BooleanProperty(True)

    def on_kv_post(self, _base: Any) -> None:
        self.vm.bind(facts=self._show_facts)
        self._show_facts()

    def leave(self) -> None:
        self.vm.unbind(facts=self._show_facts)

    def picture(self) -> Any:
        """The receipt as it is seen, as an image of PIL."""
        return self.app.picture_of(self.ids.sheet)

    def _show_facts(self, *_args: object) -> None:
        box = self.ids.facts
        empty(box)
        for name, value in self.vm.facts:
            row = (LongFact if len(value) > _LONG else ReceiptFact)(name=name, value=value)
            if value in self.vm.copied:
                button = IconButton(icon="copy", tone="muted", says=f"copy {name}", pos_hint={"center_y": 0.5})
                button.bind(on_release=lambda _button, text=value: self.vm.copy_fact(text))
                row.ids.get("head", row).add_widget(button)
            box.add_widget(row)


class ReceiptFact(BoxLayout):
    """A name, its value, and room for the button that copies it."""

    name = StringProperty("")
    value = StringProperty("")


class LongFact(BoxLayout):
    """The same for a value that does not fit beside its name."""

    name = StringProperty("")
    value = StringProperty("")


class ResultScreen(Screen):
    """Done, or not done and why."""

    ending = BooleanProperty(True)

    def on_kv_post(self, _base: Any) -> None:
        self.receipt = Receipt(vm=self.vm, app=self.app, ending=self.ending)
        self.ids.page.add_widget(self.receipt)

    def leave(self) -> None:
        self.receipt.leave()


load_kv(__file__)
