"""The session, the background tasks and the formatting that all presenters share."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Protocol

from feexpay_client.core import clock_times, disk, errors, money
from feexpay_client.core.api import PaymentsApi
from feexpay_client.core.catalogue import Catalogue
from feexpay_client.core.flow import Flow
from feexpay_client.core.i18n import Texts
from feexpay_client.core.models import Payment
from feexpay_client.core.preferences import PreferenceFile, Preferences
from feexpay_client.core.states import Draft, State
from feexpay_client.presenters.tasks import Tasks

Listener = Callable[[State], None]


class PayingSession(Protocol):
    """What the presenters of a payment need of a session: the app's `Session` and the sheet's `SheetSession` have
    it.
    """

    @property
    def texts(self) -> Texts: ...
    @property
    def preferences(self) -> PreferenceFile: ...
    @property
    def api(self) -> PaymentsApi | None: ...
    @property
    def flow(self) -> Flow | None: ...
    @property
    def catalogue(self) -> Catalogue | None: ...


@dataclass(eq=False)
class AppContext:
    """Dependencies of the presenters of one app or sheet.

    `now` is the wall clock, `zone` the payer's (None: this computer's), `documents` the folder for receipts.
    shop_name: who is paid. title_of: what a payment, or the form that is being sent, buys; empty if
    unknown. return_url: where an operator's page leads back to; empty if the server has no such page. open_link: opens
    an address with the system's app for it.
    sign_up_url, forgot_url: the host's pages for an account and a new password; empty if it has none.
    """

    session: PayingSession
    tasks: Tasks
    copy: Callable[[str], None]
    documents: Path
    now: Callable[[], datetime]
    zone: tzinfo | None
    shop_name: str = ""
    title_of: Callable[[Payment | Draft], str] = lambda payment: ""
    return_url: Callable[[], str] = str
    open_link: Callable[[str], object] = webbrowser.open
    sign_up_url: str = ""
    forgot_url: str = ""
    _listeners: list[Listener] = field(default_factory=list)
    _unsubscribe: Callable[[], None] | None = None
    _followed_flow: Flow | None = None

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

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every new state, also after a change of account."""
        self._listeners.append(listener)

    def follow_session(self) -> None:
        """Subscribe to the session's current flow and notify the listeners. Call it after a change of account."""
        if self._followed_flow is not self.session.flow:
            if self._unsubscribe is not None:
                self._unsubscribe()
            self._followed_flow = self.session.flow
            self._unsubscribe = self._followed_flow.subscribe(self.notify) if self._followed_flow is not None else None
        self.notify(self.state)

    def notify(self, state: State) -> None:
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

    def time_text(self, at: datetime) -> str:
        """`14:47` or `14 h 47`, in the payer's time."""
        return clock_times.hour(at.astimezone(self.zone), self.session.texts.language)

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
