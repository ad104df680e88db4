"""What can happen to a payer: they press something, time passes, an answer comes or does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from feexpay_client.core.errors import ApiError
from feexpay_client.core.models import Payment, Quote
from feexpay_client.core.states import Draft, Intent, Record


@dataclass(frozen=True, slots=True)
class Opened:
    """What the journal held, at the start or when another window let go of it.

    damaged: it could not be read. elsewhere: another window of this app holds it, so it was not read.
    """

    record: Record | None
    damaged: bool = False
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Edited:
    draft: Draft


@dataclass(frozen=True, slots=True)
class PayPressed:
    """`key` is a fresh idempotency key, used only if this press begins something."""

    key: str


@dataclass(frozen=True, slots=True)
class RetryPressed:
    """Another attempt of that payment, which is the one the payer sees. Of any other one nothing is tried."""

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
class CancelPressed:
    pass


@dataclass(frozen=True, slots=True)
class NewPressed:
    """Done with this one: back to an empty form, or set aside what others must settle."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A payment of the history is what the payer attends to now: to watch it, or to retry it."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Saved:
    """The journal has this intent on disk."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class SaveFailed:
    """It has not: `code` is `disk`, `busy` (another window of this app) or `newer` (written by a newer version)."""

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
    """The server's word about our payment. `server_now` is its clock, if it told."""

    number: int
    payment: Payment
    server_now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """304: as last seen."""

    number: int


@dataclass(frozen=True, slots=True)
class NothingFound:
    """The server has no payment of that key, or none pending."""

    number: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The request of that number brought no usable answer."""

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
    | CancelPressed
    | NewPressed
    | Chosen
    | Saved
    | SaveFailed
    | SignedIn
    | Woke
    | Quoted
    | Answered
    | Unchanged
    | NothingFound
    | Failed
)
