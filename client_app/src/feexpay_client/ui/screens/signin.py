"""Sign-in screen: server, username, password."""

from __future__ import annotations

from typing import Any

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import Screen


class SignInScreen(Screen):
    """Enter moves to the next field; in the last one it signs in."""

    def first_focus(self) -> Any:
        ids = self.ids
        return ids.password if self.vm.server and self.vm.username else ids.username if self.vm.server else ids.server


load_kv(__file__)
