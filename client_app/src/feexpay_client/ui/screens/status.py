"""Status screen of an open payment."""

from __future__ import annotations

from typing import Any

from kivy.clock import Clock
from kivy.properties import BooleanProperty

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import FeexPayScreen


class FeexPayStatusScreen(FeexPayScreen):
    """Shows every open phase: sending, unknown, waiting, code, page and checking.

    explains_number: the payer pressed "this is not my number". beside: what the payer must do here is beside the state.
    """

    explains_number = BooleanProperty(False)
    beside = BooleanProperty(False)

    def on_kv_post(self, _base: Any) -> None:
        self.vm.bind(kind=self._focus_code)

    def leave(self) -> None:
        self.vm.unbind(kind=self._focus_code)

    def first_focus(self) -> Any:
        return self.ids.code if self.vm.kind == "code" else None

    def _focus_code(self, *_args: object) -> None:
        """The field appears in this frame; it can take the focus in the next one."""
        if self.vm.kind == "code":
            Clock.schedule_once(lambda _seconds: self.ids.code.take_focus() if self.parent is not None else None, 0)


load_kv(__file__)
