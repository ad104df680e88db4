"""What every presenter can do: start work that ends with the app, and say things in the payer's language."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from kivy.event import EventDispatcher
from kivy.properties import BooleanProperty, OptionProperty, StringProperty

from feexpay_client.core import errors
from feexpay_client.presenters.app_context import AppContext


class Presenter(EventDispatcher):
    """Made once, lives as long as the app; screens come and go. `relabel` follows a change of language."""

    def __init__(self, services: AppContext, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.services = services
        self.session = services.session
        self.tr = services.text

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.services.tasks.spawn(work)

    def relabel(self) -> None:
        """Make every text anew."""


class Loading(Presenter):
    """A presenter whose content comes from the server."""

    #: loading: nothing to show yet; ready; empty; trouble: nothing to show, and `trouble_text` says why.
    state = OptionProperty("loading", options=["loading", "ready", "empty", "trouble"])
    trouble_text = StringProperty("")
    refreshing = BooleanProperty(False)

    def refresh(self) -> None:
        """Ask the server; what is known stays on the screen meanwhile. Twice is once."""
        if not self.refreshing and self.session.api is not None:
            self.refreshing = True
            self.spawn(self._refresh())

    async def _refresh(self) -> None:
        try:
            await self.fetch()
        except errors.ApiError as error:
            self.trouble_text = self.services.trouble(error)
            self.show()
            if self.state in ("loading", "empty"):
                self.state = "trouble"
        else:
            self.trouble_text = ""
            self.show()
        finally:
            self.refreshing = False

    async def fetch(self) -> None:
        """Bring what is new. Raises errors.ApiError."""
        raise NotImplementedError

    def show(self) -> None:
        """Words and `state` from what is known."""
        raise NotImplementedError

    def relabel(self) -> None:
        self.show()
