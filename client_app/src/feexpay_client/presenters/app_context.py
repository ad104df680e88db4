"""The session, the background tasks and the formatting that all presenters share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from feexpay_client.core import disk, errors, money
from feexpay_client.core.flow import Flow
from feexpay_client.core.preferences import Preferences
from feexpay_client.core.session import Session
from feexpay_client.core.states import State
from feexpay_client.presenters.tasks import Tasks

Listener = Callable[[State], None]


@dataclass(eq=False)
class AppContext:
    """Dependencies of one app's presenters.

    `now` is the wall clock, `zone` the payer's (None: this computer's), `documents` the folder for receipts.
    """

    session: Session
    tasks: Tasks
    copy: Callable[[str], None]
    documents: Path
    now: Callable[[], datetime]
    zone: tzinfo | None
    _listeners: list[Listener] = field(default_factory=list)
    _stop_watching: Callable[[], None] | None = None
    _watched: Flow | None = None

    # --- the flow ---

    @property
    def flow(self) -> Flow | None:
        return self.session.flow

    @property
    def state(self) -> State:
        """The flow's state; an empty form when there is no flow."""
        return self.session.flow.state if self.session.flow is not None else State()

    @property
    def monotonic(self) -> float:
        """The time to pass to `State.seconds_left` and `State.overdue`."""
        return self.session.flow.now() if self.session.flow is not None else 0.0

    def watch(self, listener: Listener) -> None:
        """Call `listener` with every new state, also after a change of account."""
        self._listeners.append(listener)

    def rewatch(self) -> None:
        """Subscribe to the session's current flow and notify the listeners. Call it after a change of account."""
        if self._watched is not self.session.flow:
            if self._stop_watching is not None:
                self._stop_watching()
            self._watched = self.session.flow
            self._stop_watching = self._watched.subscribe(self.tell) if self._watched is not None else None
        self.tell(self.state)

    def tell(self, state: State) -> None:
        for listener in tuple(self._listeners):
            listener(state)

    # --- formatting ---

    def text(self, key: str, /, **places: object) -> str:
        return self.session.texts(key, **places)

    def money(self, amount: int, currency: str) -> str:
        return money.formatted(amount, currency, self.session.texts.language)

    def notice(self, state: State) -> str:
        """The text of a notice: ours, else the server's, else a general one."""
        if state.notice is None:
            return ""
        key = f"notice.{state.notice.code}"
        if self.session.texts.has(key) and state.notice.code != "validation_error":
            return self.text(key)
        return state.notice.message or self.text("notice.refused")

    def clock_text(self) -> str:
        return f"{self.now().astimezone(self.zone):%H:%M:%S}"

    def day_text(self, day: date) -> str:
        """'Today', 'Yesterday' or the date."""
        today = self.now().astimezone(self.zone).date()
        if day == today:
            return self.text("day.today")
        if day == today - timedelta(days=1):
            return self.text("day.yesterday")
        written = f"{day.day} {self.text(f'month.{day.month}')}"
        return written if day.year == today.year else f"{written} {day.year}"

    def trouble(self, error: errors.ApiError) -> str:
        """Say why content could not be loaded. It never says that a payment failed."""
        for kind, key in _TROUBLES:
            if isinstance(error, kind):
                return self.text(key)
        return self.text("trouble.server")

    # --- stored data ---

    @property
    def preferences(self) -> Preferences:
        return self.session.preferences.value

    def remember(self, **changes: Any) -> None:
        if any(getattr(self.preferences, name) != value for name, value in changes.items()):
            self.session.preferences.change(**changes)

    async def save_receipt(self, payment_id: str, text: str, picture: Any) -> Path:
        """Write the receipt as text and as picture. Returns the folder. Raises OSError."""
        name = f"feexpay-{payment_id[:13]}"

        def write() -> None:
            disk.write_whole(self.documents / f"{name}.txt", text.encode())
            if picture is not None:
                picture.save(self.documents / f"{name}.png")

        await asyncio.to_thread(write)
        return self.documents


_TROUBLES: tuple[tuple[type[errors.ApiError], str], ...] = (
    (errors.Offline, "trouble.offline"),
    (errors.Timeout, "trouble.slow"),
    (errors.Throttled, "trouble.throttled"),
    (errors.Unauthorized, "trouble.session"),
)
