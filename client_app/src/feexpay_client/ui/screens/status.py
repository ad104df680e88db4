"""Live status: the payment is under way, and the payer always knows what happens and what to do."""

from __future__ import annotations

from typing import Any

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import Screen


class StatusScreen(Screen):
    """One screen for every state that is not the end: sending, on the phone, a code, a page, checking."""

    def first_focus(self) -> Any:
        return self.ids.code if self.vm.kind == "code" else None


load_kv(__file__)
