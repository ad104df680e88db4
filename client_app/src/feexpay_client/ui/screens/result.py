"""Result screen: the receipt after a payment, or of a payment from the history."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import Screen
from feexpay_client.ui.teardown import empty
from feexpay_client.ui.widgets.button import IconButton
from feexpay_client.ui.widgets.text import Column

#: Longest value, in characters, that fits beside its name on the narrowest screen.
_SHORT_VALUE = 26


class Receipt(Column):
    """Icon, amount, explanation, facts and buttons. `ending`: a payment has just ended."""

    vm = ObjectProperty(None, rebind=True)
    app = ObjectProperty(None)
    ending = BooleanProperty(True)

    def on_kv_post(self, _base: Any) -> None:
        self.vm.bind(facts=self._show_facts)
        self._show_facts()

    def leave(self) -> None:
        self.vm.unbind(facts=self._show_facts)

    def picture(self) -> Any:
        """The receipt as a PIL image."""
        return self.app.picture_of(self.ids.sheet)

    def _show_facts(self, *_args: object) -> None:
        box = self.ids.facts
        empty(box)
        for name, value in self.vm.facts:
            row = (LongFact if len(value) > _SHORT_VALUE else ReceiptFact)(name=name, value=value)
            if value in self.vm.copied:
                button = IconButton(icon="copy", tone="muted", action_name=f"copy {name}", pos_hint={"center_y": 0.5})
                button.bind(on_release=lambda _button, text=value: self.vm.copy_fact(text))
                row.ids.get("head", row).add_widget(button)
            box.add_widget(row)


class ReceiptFact(BoxLayout):
    """A name and its value on one line."""

    name = StringProperty("")
    value = StringProperty("")


class LongFact(BoxLayout):
    """A name and below it a long value."""

    name = StringProperty("")
    value = StringProperty("")


class ResultScreen(Screen):
    """The result after paying, or a receipt from the history."""

    ending = BooleanProperty(True)

    def on_kv_post(self, _base: Any) -> None:
        self.receipt = Receipt(vm=self.vm, app=self.app, ending=self.ending)
        self.ids.page.add_widget(self.receipt)

    def leave(self) -> None:
        self.receipt.leave()


load_kv(__file__)
