"""Where a payer stands: everything the screens show and everything that must survive a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from feexpay_client.core.errors import FieldProblem
from feexpay_client.core.models import FAILED, SUCCESSFUL, Payment, Quote

#: Words of a payment's `detail` that call for a screen of their own.
WAITING_FOR_PAYER, OTP_REQUIRED, REDIRECT_DETAIL, UNDER_REVIEW = (
    "waiting_for_payer",
    "otp_required",
    "redirect",
    "under_review",
)


class Phase(StrEnum):
    """Which screen. SUCCEEDED and FAILED are entered by the server's word only."""

    EDITING = "editing"  # the form
    QUOTING = "quoting"  # the form, while the server says what it costs
    READY = "ready"  # the form with its quote: the button may be pressed
    SUBMITTING = "submitting"  # pressed: the key is going to disk, or the request is under way
    UNKNOWN = "unknown"  # no answer: looking whether the server has it
    WAITING = "waiting"  # the payer's phone asks for the PIN
    OTP = "otp"  # a code is wanted here
    REDIRECT = "redirect"  # the payer pays on a page in the browser
    CHECKING = "checking"  # begun; the gateway's word is awaited
    SUCCEEDED = "succeeded"
    FAILED = "failed"


FORM = frozenset({Phase.EDITING, Phase.QUOTING, Phase.READY})
#: A payment of ours that the server knows and has not settled.
FOLLOWING = frozenset({Phase.WAITING, Phase.OTP, Phase.REDIRECT, Phase.CHECKING})
#: Money may be on its way: no other payment starts.
OPEN = FOLLOWING | {Phase.SUBMITTING, Phase.UNKNOWN}
SETTLED = frozenset({Phase.SUCCEEDED, Phase.FAILED})


def phase_of(payment: Payment) -> Phase:
    """The phase a payment of the server calls for. A word we do not know is CHECKING."""
    if payment.status == SUCCESSFUL:
        return Phase.SUCCEEDED
    if payment.status == FAILED:
        return Phase.FAILED
    if payment.detail == OTP_REQUIRED:
        return Phase.OTP
    if payment.detail == REDIRECT_DETAIL and payment.redirect_url:
        return Phase.REDIRECT
    return Phase.WAITING if payment.detail == WAITING_FOR_PAYER else Phase.CHECKING


@dataclass(frozen=True, slots=True)
class Moment:
    """Two clocks: `monotonic` for what this process lives through, `wall` (seconds since 1970) for what is kept."""

    monotonic: float
    wall: float


@dataclass(frozen=True, slots=True)
class Draft:
    """What the payer filled in. `phone` as typed: the server reads every usual writing of it."""

    provider: str = ""
    amount: int = 0
    currency: str = ""
    phone: str = field(default="", repr=False)
    otp: str = field(default="", repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    description: str = ""
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    email: str = field(default="", repr=False)

    @property
    def priced(self) -> bool:
        """Enough is filled in to ask what it costs."""
        return bool(self.provider) and self.amount > 0

    def costs_like(self, other: Draft) -> bool:
        """A quote for the one holds for the other."""
        return (self.provider, self.amount, self.currency) == (other.provider, other.amount, other.currency)

    def body(self) -> dict[str, Any]:
        """The body of `POST initiate/`: what was filled in, and nothing else."""
        optional = {
            "currency": self.currency,
            "phone": self.phone,
            "otp": self.otp,
            "metadata": dict(self.metadata),
            "description": self.description,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.email,
        }
        return {"provider": self.provider, "amount": self.amount} | {
            name: value for name, value in optional.items() if value
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Draft:
        """The form again, from a body that was kept."""
        return cls(**{name: value for name, value in body.items() if name in cls.__slots__})


INITIATE, RETRY, FOLLOW = "initiate", "retry", "follow"


@dataclass(frozen=True, slots=True)
class Intent:
    """One wish to pay: one key, one body. On disk before the first byte leaves.

    kind: `initiate`, `retry` (another attempt of `payment_id`), or `follow` (a payment found, begun elsewhere).
    attempt_count: what the payment had before a retry; more of them means that the retry arrived.
    may_have_left: a request with this key may have reached the server. Only "no connection" takes it back.
    withheld: the body held a one-time code, which never goes to disk: after a restart it cannot be sent again.
    """

    key: str
    kind: str
    body: Mapping[str, Any] = field(repr=False, hash=False)
    begun_at: float
    payment_id: str | None = None
    attempt_count: int = 0
    may_have_left: bool = True
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What the journal holds: the open intent, and its payment as it was last seen."""

    intent: Intent
    payment: Payment | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the payer should know; `code` is a key of `notice.…` in the locales.

    message: the server's own words in the payer's language, if any. request_id: to quote to the shop.
    """

    code: str
    message: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """One payer's whole situation. Screens read it, only `machine.reduce` makes the next one.

    saved: the intent is on disk. online: the last request reached a server. session: False once the server said the
    session has ended; what was under way goes on after signing in. asked and asking: number and kind of the request
    under way (0: none). timer: the alarm in force. deadline: monotonic instant until which the payer is expected.
    left: a request with the intent's key got no answer, the last one at `quiet_since` (monotonic).
    sends: how often it was sent. declined: what the server said when it did not begin it, to be made sure of.
    failures: requests in a row without a usable answer. still: looks in a row at which nothing had changed.
    elsewhere: another window of this app holds the journal, so this one begins nothing.
    """

    phase: Phase = Phase.EDITING
    draft: Draft = field(default_factory=Draft)
    quote: Quote | None = None
    intent: Intent | None = None
    payment: Payment | None = None
    problems: tuple[FieldProblem, ...] = ()
    notice: Notice | None = None
    online: bool = True
    session: bool = True
    saved: bool = False
    asked: int = 0
    asking: str = ""
    counter: int = 0
    timer: int = 0
    failures: int = 0
    still: int = 0
    deadline: float | None = None
    left: bool = False
    quiet_since: float = 0.0
    sends: int = 0
    declined: Notice | None = None
    otp_code: str = field(default="", repr=False)
    otp_key: str = ""
    elsewhere: bool = False

    @property
    def open(self) -> bool:
        """Money may be on its way."""
        return self.phase in OPEN

    @property
    def busy(self) -> bool:
        """The payer pressed something and waits for it: buttons are disabled."""
        return self.phase is Phase.SUBMITTING or self.asking == "otp"

    @property
    def can_pay(self) -> bool:
        return self.phase is Phase.READY and self.quote is not None

    @property
    def ended(self) -> Payment | None:
        """The payment whose end is to be shown; None while none has ended."""
        return self.payment if self.phase in SETTLED else None

    @property
    def can_attend(self) -> bool:
        """Another payment may take the place of this one: none is open, or the open one may be set aside."""
        return not self.open or self.can_set_aside

    @property
    def can_retry(self) -> bool:
        return self.phase is Phase.FAILED and self.payment is not None and self.payment.can_retry

    @property
    def can_cancel(self) -> bool:
        """The request surely never left: no connection was made with this key."""
        return (
            self.phase in (Phase.SUBMITTING, Phase.UNKNOWN)
            and self.intent is not None
            and self.saved
            and not self.intent.may_have_left
            and self.asking != "post"
        )

    @property
    def can_set_aside(self) -> bool:
        """The shop's people are looking at it, or the server does not know it: waiting here helps nobody."""
        if self.phase in FOLLOWING and self.payment is not None and self.payment.detail == UNDER_REVIEW:
            return True
        known = self.phase in FOLLOWING or (self.intent is not None and self.intent.payment_id is not None)
        return self.open and known and self.notice is not None and self.notice.code == "not_found"

    def seconds_left(self, monotonic: float) -> float | None:
        """How long the payer is still expected; never below 0; None when the server did not say."""
        return None if self.deadline is None else max(0.0, self.deadline - monotonic)

    def overdue(self, monotonic: float) -> bool:
        """The time is over and the server has not settled it: we go on checking."""
        return self.phase in FOLLOWING and self.deadline is not None and monotonic >= self.deadline
