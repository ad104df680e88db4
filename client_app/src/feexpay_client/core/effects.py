"""Effects of the reducer. The answer event repeats the `number`; an outdated number is ignored."""

from __future__ import annotations

from dataclasses import dataclass, field

from feexpay_client.core.states import Draft, Intent, Record


@dataclass(frozen=True, slots=True)
class Save:
    """Write to the journal; answered by Saved or SaveFailed."""

    record: Record


@dataclass(frozen=True, slots=True)
class OpenJournal:
    """Try to lock the journal after `after` seconds; answered by Opened.

    A newer OpenJournal replaces an older one.
    """

    after: float


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete the journal's intent with that key; an empty key deletes an unreadable journal."""

    key: str


@dataclass(frozen=True, slots=True)
class GetQuote:
    number: int
    draft: Draft


@dataclass(frozen=True, slots=True)
class Post:
    """`initiate/` or `retry/`: the only effect that can charge the payer. The intent is already on disk."""

    number: int
    intent: Intent


@dataclass(frozen=True, slots=True)
class FindByKey:
    """Search the history by the intent's key."""

    number: int
    key: str


@dataclass(frozen=True, slots=True)
class FindPending:
    """Search the history for a pending payment after the journal was lost."""

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
    """Send Woke after `after` seconds; a newer Wake replaces an older one."""

    number: int
    after: float


@dataclass(frozen=True, slots=True)
class OpenPage:
    url: str


@dataclass(frozen=True, slots=True)
class AskSignIn:
    """The session has ended: show the sign-in screen, then return to the same screen."""


Effect = (
    Save
    | OpenJournal
    | Forget
    | GetQuote
    | Post
    | FindByKey
    | FindPending
    | GetStatus
    | PostOtp
    | Wake
    | OpenPage
    | AskSignIn
)
