"""The state of one payer: what the screens show, and what must survive a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from feexpay_client.core.errors import FieldProblem
from feexpay_client.core.models import FAILED, SUCCESSFUL, Payment, Quote

#: Values of a payment's `detail` that have their own screen.
WAITING_FOR_PAYER, OTP_REQUIRED, REDIRECT_DETAIL, UNDER_REVIEW = (
    "waiting_for_payer",
    "otp_required",
    "redirect",
    "under_review",
)


class Phase(StrEnum):
    """Which screen to show. Only an answer of the server leads to SUCCEEDED or FAILED."""

    EDITING = "editing"  # the form
    QUOTING = "quoting"  # the form, while a quote is requested
    READY = "ready"  # the form with its quote: the button may be pressed
    SUBMITTING = "submitting"  # pressed: the key is being saved or the request is running
    UNKNOWN = "unknown"  # no answer: searching the history for it
    WAITING = "waiting"  # the payer's phone asks for the PIN
    OTP = "otp"  # the payer must type a one-time code
    REDIRECT = "redirect"  # the payer pays on a page in the browser
    CHECKING = "checking"  # sent to the gateway; its result is not known yet
    SUCCEEDED = "succeeded"
    FAILED = "failed"


FORM = frozenset({Phase.EDITING, Phase.QUOTING, Phase.READY})
#: The server knows the payment and has not settled it: poll it.
FOLLOWING = frozenset({Phase.WAITING, Phase.OTP, Phase.REDIRECT, Phase.CHECKING})
#: The payer may be charged: start no other payment.
OPEN = FOLLOWING | {Phase.SUBMITTING, Phase.UNKNOWN}
SETTLED = frozenset({Phase.SUCCEEDED, Phase.FAILED})


def phase_of(payment: Payment) -> Phase:
    """Choose the phase for a payment. An unknown `detail` is CHECKING."""
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
    """Two clocks: `monotonic` for durations in this process, `wall` (seconds since 1970) for stored times."""

    monotonic: float
    wall: float


@dataclass(frozen=True, slots=True)
class Draft:
    """The payment form. `phone` as typed: the server parses every usual format."""

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
    return_url: str = ""
    cancel_url: str = ""

    @property
    def priced(self) -> bool:
        """The form has what a quote needs."""
        return bool(self.provider) and self.amount > 0

    def has_same_price(self, other: Draft) -> bool:
        """A quote for the other draft is valid for this one."""
        return (self.provider, self.amount, self.currency) == (other.provider, other.amount, other.currency)

    def body(self) -> dict[str, Any]:
        """The body of `POST initiate/`: only the fields that are filled in."""
        optional = {
            "currency": self.currency,
            "phone": self.phone,
            "otp": self.otp,
            "metadata": dict(self.metadata),
            "description": self.description,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.email,
            "return_url": self.return_url,
            "cancel_url": self.cancel_url,
        }
        return {"provider": self.provider, "amount": self.amount} | {
            name: value for name, value in optional.items() if value
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Draft:
        """Restore the form from a stored body."""
        return cls(**{name: value for name, value in body.items() if name in cls.__slots__})


INITIATE, RETRY, FOLLOW = "initiate", "retry", "follow"


@dataclass(frozen=True, slots=True)
class Intent:
    """One payment request: one idempotency key, one body. Stored on disk before it is sent.

    kind: `initiate`, `retry` (another attempt of `payment_id`), or `follow` (a payment found in the history).
    attempt_count: the payment's attempts before a retry; a higher count means that the retry arrived.
    may_have_left: a request with this key may have reached the server. Only a failed connection resets it.
    otp_removed: the body held a one-time code, which is never stored: after a restart the body cannot be sent again.
    """

    key: str
    kind: str
    body: Mapping[str, Any] = field(repr=False, hash=False)
    begun_at: float
    payment_id: str | None = None
    attempt_count: int = 0
    may_have_left: bool = True
    otp_removed: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """The content of the journal: the open intent and the last known version of its payment."""

    intent: Intent
    payment: Payment | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for the payer; `code` is a key of `notice.…` in the locales.

    message: the server's text in the payer's language, if any. request_id: the payer quotes it to the shop.
    """

    code: str
    message: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """Everything known about one payer. Screens read it; only `machine.reduce` makes the next one.

    saved: the intent is on disk. online: the last request reached a server. signed_in: False after the server rejected
    the token; the flow continues after signing in. request and request_kind: number and kind of the running request
    (0: none). timer: number of the current timer. deadline: monotonic time until which the payer may confirm.
    maybe_sent: a request with the intent's key got no answer, the last one at `unanswered_since` (monotonic).
    sends: how often it was sent.
    refusal: the server's refusal, kept until a search of the history confirms that no payment was started.
    failures: requests in a row without a usable answer. unchanged_polls: polls in a row without a change.
    page_opened: False after this device could not open the payment page.
    other_window: another window of this app holds the journal, so this one starts no payment.
    live: an event stream brings each change of the payment, so polls are rare.
    """

    phase: Phase = Phase.EDITING
    draft: Draft = field(default_factory=Draft)
    quote: Quote | None = None
    intent: Intent | None = None
    payment: Payment | None = None
    problems: tuple[FieldProblem, ...] = ()
    notice: Notice | None = None
    online: bool = True
    signed_in: bool = True
    saved: bool = False
    request: int = 0
    request_kind: str = ""
    counter: int = 0
    timer: int = 0
    failures: int = 0
    unchanged_polls: int = 0
    deadline: float | None = None
    maybe_sent: bool = False
    unanswered_since: float = 0.0
    sends: int = 0
    refusal: Notice | None = None
    otp_code: str = field(default="", repr=False)
    otp_key: str = ""
    page_opened: bool = True
    other_window: bool = False
    live: bool = False

    @property
    def followed_id(self) -> str:
        """The id of the payment whose changes are wanted at once; "" for none."""
        return self.payment.id if self.phase in FOLLOWING and self.payment is not None and self.signed_in else ""

    @property
    def open(self) -> bool:
        """The payer may be charged for this payment."""
        return self.phase in OPEN

    @property
    def busy(self) -> bool:
        """The payer waits for a request of their own: buttons are disabled."""
        return self.phase is Phase.SUBMITTING or self.request_kind == "otp"

    @property
    def can_pay(self) -> bool:
        return self.phase is Phase.READY and self.quote is not None

    @property
    def ended(self) -> Payment | None:
        """The settled payment to show; None while no payment is settled."""
        return self.payment if self.phase in SETTLED else None

    @property
    def can_be_replaced(self) -> bool:
        """Another payment may replace this one: none is open, or the open one may be set aside."""
        return not self.open or self.can_set_aside

    @property
    def can_retry(self) -> bool:
        return self.phase is Phase.FAILED and self.payment is not None and self.payment.can_retry

    @property
    def can_cancel(self) -> bool:
        """The request was certainly never sent: no connection was made with this key."""
        return (
            self.phase in (Phase.SUBMITTING, Phase.UNKNOWN)
            and self.intent is not None
            and self.saved
            and not self.intent.may_have_left
            and self.request_kind != "post"
        )

    @property
    def can_set_aside(self) -> bool:
        """Whether waiting does not help: the shop's staff review the payment, or the server does not know it."""
        if self.phase in FOLLOWING and self.payment is not None and self.payment.detail == UNDER_REVIEW:
            return True
        known = self.phase in FOLLOWING or (self.intent is not None and self.intent.payment_id is not None)
        return self.open and known and self.notice is not None and self.notice.code == "not_found"

    def seconds_left(self, monotonic: float) -> float | None:
        """Seconds the payer still has to confirm, at least 0; None without a deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - monotonic)

    def overdue(self, monotonic: float) -> bool:
        """The deadline has passed and the server has not settled the payment: keep polling."""
        return self.phase in FOLLOWING and self.deadline is not None and monotonic >= self.deadline
