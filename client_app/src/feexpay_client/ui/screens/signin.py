"""Sign-in screen: username and password, and the server unless the app was built for one."""

from __future__ import annotations

from typing import Any

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import FeexPayScreen


class FeexPaySignInScreen(FeexPayScreen):
    """Enter moves to the next field; in the last one it signs in. The first wrong field gets the focus back."""

    def on_kv_post(self, _base: Any) -> None:
        self.vm.bind(first_error_field=self._focus_error)

    def leave(self) -> None:
        self.vm.unbind(first_error_field=self._focus_error)

    def first_focus(self) -> Any:
        return self.ids.password if self.vm.username else self.ids.username

    def _focus_error(self, _vm: Any, name: str) -> None:
        if name in self.ids:
            self.ids[name].take_focus()


load_kv(__file__)
