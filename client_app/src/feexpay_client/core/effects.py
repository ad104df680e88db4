"""What the machine wants done. `number` comes back with the answer; an answer of another number is late."""

from __future__ import annotations

from dataclasses import dataclass, field

from feexpay_client.core.states import Draft, Intent, Record


@dataclass(frozen=True, slots=True)
class Save:
    """Write to the journal; answered by Saved or SaveFailed."""

    record: Record


@dataclass(frozen=True, slots=True)
class OpenJournal:
    """Try after so many seconds to take the journal over from another window; answered by Opened.

    A newer one replaces an older one.
    """

    after: float


@dataclass(frozen=True, slots=True)
class Forget:
    """The journal's intent of that key is done with; of no key: what could not be read is."""

    key: str


@dataclass(frozen=True, slots=True)
class GetQuote:
    number: int
    draft: Draft


@dataclass(frozen=True, slots=True)
class Post:
    """`initiate/` or `retry/`: the only effect that can cost money. Only ever for an intent that is on disk."""

    number: int
    intent: Intent


@dataclass(frozen=True, slots=True)
class Look:
    """Search the history by the intent's key."""

    number: int
    key: str


@dataclass(frozen=True, slots=True)
class LookPending:
    """Search the history for a pending payment: the journal was lost."""

    number: int


@dataclass(frozen=True, slots=True)
class GetStatus:
    number: int
    payment_id: str


@dataclass(frozen=True, slots=True)
class PostOtp:
    number: int
    payment_id: str
    key: str
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wake:
    """Send Woke after so many seconds; a newer Wake replaces an older one."""

    number: int
    after: float


@dataclass(frozen=True, slots=True)
class OpenPage:
    url: str


@dataclass(frozen=True, slots=True)
class AskSignIn:
    """The session has ended: show the sign-in screen, come back here afterwards."""


Effect = (
    Save
    | OpenJournal
    | Forget
    | GetQuote
    | Post
    | Look
    | LookPending
    | GetStatus
    | PostOtp
    | Wake
    | OpenPage
    | AskSignIn
)
