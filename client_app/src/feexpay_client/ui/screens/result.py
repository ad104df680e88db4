"""Result screen: the receipt after a payment, or of a payment from the history."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.receipt_picture import receipt_picture
from feexpay_client.ui.shell import FeexPayScreen
from feexpay_client.ui.teardown import empty
from feexpay_client.ui.theme import theme
from feexpay_client.ui.widgets.button import FeexPayIconButton
from feexpay_client.ui.widgets.text import FeexPayColumn

#: How many characters of a name and its value fit on one line of the narrowest screen, with text at 100 %.
_ONE_LINE = 39


class FeexPayReceipt(FeexPayColumn):
    """Icon, amount, explanation, facts and buttons. `ending`: a payment has just ended."""

    vm = ObjectProperty(None, rebind=True)
    host = ObjectProperty(None)
    ending = BooleanProperty(True)

    def on_kv_post(self, _base: Any) -> None:
        self._bindings = {"facts": self._show_facts, "details": self._show_details}
        self.vm.bind(**self._bindings)
        self._show_facts()
        self._show_details()
        if self.ending and self.vm.status == "successful":
            self.ids.icon.celebrate()

    def leave(self) -> None:
        self.vm.unbind(**self._bindings)

    def picture(self) -> Any:
        """The receipt as a PIL image."""
        vm = self.vm
        return receipt_picture(vm.shop_name, vm.headline, vm.amount_text, vm.variant, [*vm.facts, *vm.details])

    def _show_facts(self, *_args: object) -> None:
        self._fill(self.ids.facts, self.vm.facts)

    def _show_details(self, *_args: object) -> None:
        self._fill(self.ids.details, self.vm.details)

    def _fill(self, box: Any, facts: list[tuple[str, str]]) -> None:
        empty(box)
        for name, value in facts:
            fits = (len(name) + len(value)) * theme.scale <= _ONE_LINE
            row = (FeexPayReceiptFact if fits else FeexPayLongFact)(name=name, value=value)
            if value in self.vm.copied:
                button = FeexPayIconButton(
                    icon="copy", tone="muted", action_name=f"copy {name}", pos_hint={"center_y": 0.5}
                )
                button.bind(on_release=lambda _button, text=value: self.vm.copy_fact(text))
                row.ids.get("head", row).add_widget(button)
            box.add_widget(row)


class FeexPayReceiptFact(BoxLayout):
    """A name and its value on one line."""

    name = StringProperty("")
    value = StringProperty("")


class FeexPayLongFact(BoxLayout):
    """A name and below it a long value."""

    name = StringProperty("")
    value = StringProperty("")


class FeexPayResultScreen(FeexPayScreen):
    """The result after paying, or a receipt from the history."""

    ending = BooleanProperty(True)

    def on_kv_post(self, _base: Any) -> None:
        self.receipt = FeexPayReceipt(vm=self.vm, host=self.host, ending=self.ending)
        self.ids.page.add_widget(self.receipt)

    def leave(self) -> None:
        self.receipt.leave()


load_kv(__file__)
