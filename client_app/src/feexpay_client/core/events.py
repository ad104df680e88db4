"""Events of the reducer: the payer acts, a timer fires, a request succeeds or fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from feexpay_client.core.errors import ApiError
from feexpay_client.core.models import Payment, Quote
from feexpay_client.core.states import Draft, Intent, Record


@dataclass(frozen=True, slots=True)
class Opened:
    """The journal's content, at the start or after another window released the lock.

    damaged: it could not be read. other_window: another window of this app holds it, so it was not read.
    """

    record: Record | None
    damaged: bool = False
    other_window: bool = False


@dataclass(frozen=True, slots=True)
class Edited:
    draft: Draft


@dataclass(frozen=True, slots=True)
class PayPressed:
    """`key` is a fresh idempotency key, used only if this press starts a payment."""

    key: str


@dataclass(frozen=True, slots=True)
class RetryPressed:
    """Retry the payment on the screen. Ignored for any other payment."""

    key: str
    payment_id: str
    phone: str = field(default="", repr=False)
    otp: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class OtpEntered:
    key: str
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckPressed:
    """ "Check now"; also sent when the app comes back to the foreground or a network appears."""


@dataclass(frozen=True, slots=True)
class PagePressed:
    """Open the payment page in the browser (again)."""


@dataclass(frozen=True, slots=True)
class PageNotOpened:
    """This device has no browser that opened the payment page."""


@dataclass(frozen=True, slots=True)
class CancelPressed:
    pass


@dataclass(frozen=True, slots=True)
class NewPressed:
    """Leave this payment for an empty form, or set aside a payment under review."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The payer opened a payment of the history, to follow or retry it."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Saved:
    """The intent was saved to disk."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class SaveFailed:
    """The intent was not saved.

    `code`: `disk`, `busy` (another window holds the journal) or `newer` (a newer version wrote it).
    """

    intent: Intent
    code: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    pass


@dataclass(frozen=True, slots=True)
class Woke:
    number: int


@dataclass(frozen=True, slots=True)
class Quoted:
    number: int
    quote: Quote


@dataclass(frozen=True, slots=True)
class Answered:
    """The server's version of the payment. `server_now` is the server's clock, if sent."""

    number: int
    payment: Payment
    server_now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """The server's version of the payment, by the event stream. `etag`: of this version."""

    payment: Payment
    etag: str = ""
    server_now: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """From now on the server sends each change by itself."""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The server sends no more changes. broken: it did not say so itself."""

    broken: bool


@dataclass(frozen=True, slots=True)
class Unchanged:
    """304: the payment has not changed."""

    number: int


@dataclass(frozen=True, slots=True)
class NothingFound:
    """The server has no payment with that key, or no pending one."""

    number: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The request with that number got no usable answer."""

    number: int
    error: ApiError


Event = (
    Opened
    | Edited
    | PayPressed
    | RetryPressed
    | OtpEntered
    | CheckPressed
    | PagePressed
    | PageNotOpened
    | CancelPressed
    | NewPressed
    | Chosen
    | Saved
    | SaveFailed
    | SignedIn
    | Woke
    | Quoted
    | Answered
    | Pushed
    | StreamOpened
    | StreamEnded
    | Unchanged
    | NothingFound
    | Failed
)
