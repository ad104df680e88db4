"""Status screen of an open payment."""

from __future__ import annotations

from typing import Any

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import Screen


class StatusScreen(Screen):
    """Shows every open phase: sending, unknown, waiting, code, page and checking."""

    def first_focus(self) -> Any:
        return self.ids.code if self.vm.kind == "code" else None


load_kv(__file__)
