"""Base classes of all presenters."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from kivy.event import EventDispatcher
from kivy.properties import BooleanProperty, OptionProperty, StringProperty

from feexpay_client.core import errors
from feexpay_client.presenters.app_context import AppContext


class Presenter(EventDispatcher):
    """Created once per app; screens are created and dropped. `relabel` is called when the language changes."""

    def __init__(self, context: AppContext, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.context = context
        self.session = context.session
        self.tr = context.text

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.context.tasks.spawn(work)

    def relabel(self) -> None:
        """Rebuild every text."""


class Loading(Presenter):
    """A presenter whose content comes from the server."""

    #: loading: no content yet. trouble: no content, and `trouble_text` gives the reason.
    state = OptionProperty("loading", options=["loading", "ready", "empty", "trouble"])
    trouble_text = StringProperty("")
    refreshing = BooleanProperty(False)

    def refresh(self) -> None:
        """Load from the server and keep the old content meanwhile. Does nothing while a load is running."""
        if not self.refreshing and self.session.api is not None:
            self.refreshing = True
            self.spawn(self._refresh())

    async def _refresh(self) -> None:
        try:
            await self.fetch()
        except errors.ApiError as error:
            self.trouble_text = self.context.trouble(error)
            self.show()
            if self.state in ("loading", "empty"):
                self.state = "trouble"
        else:
            self.trouble_text = ""
            self.show()
        finally:
            self.refreshing = False

    async def fetch(self) -> None:
        """Load the content. Raises errors.ApiError."""
        raise NotImplementedError

    def show(self) -> None:
        """Set the texts and `state` from the loaded content."""
        raise NotImplementedError

    def relabel(self) -> None:
        self.show()
