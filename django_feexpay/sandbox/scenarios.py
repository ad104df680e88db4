"""The magic numbers: the last two digits of the payer's number decide the outcome.

They are our convention, not FeexPay's. Any other ending waits for the payer: the page or the control interface decides.
So do 04 and 14, whose scripts never settle. A decision of the payer replaces the rest of the script. Delays are in
seconds at `--time-scale 1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PENDING = "PENDING"
SUCCESSFUL = "SUCCESSFUL"
FAILED = "FAILED"

LOW_BALANCE = "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED"
PAYER_NOT_FOUND = "PAYER_NOT_FOUND"
INSUFFICIENT = "Insufficient balance"
DECLINED = "APPROVAL_REJECTED"
EXPIRED = "EXPIRED"

ACCOUNT_NOT_ACTIVE = "SENDER_ACCOUNT_NOT_ACTIVE"
OPERATOR_ERROR = "INTERNAL_PROCESSING_ERROR"

# FeexPay's SDK knows the operator's code 37, but has no word for it: we chose this one.
AMOUNT_TOO_LOW = "AMOUNT_BELOW_MINIMUM"

# No source shows FeexPay's words for a wrong or expired code: we chose these.
INVALID_OTP = "INVALID_OTP"
OTP_EXPIRED = "OTP_EXPIRED"

RIGHT_OTP = "123456"
# Every other code is wrong.
EXPIRED_OTP = "999999"

# The codes of immediate failures in FeexPay's own SDK; other reasons have none.
STATUS_CODES = {LOW_BALANCE: "10", INSUFFICIENT: "10", AMOUNT_TOO_LOW: "37", DECLINED: "92"}

# Statuses of a payment whose money was given back. FeexPay's dashboard has refunds, but no source shows the status that
# its API then answers: we chose these words.
REVERSED = "REVERSED"
REFUNDED = "REFUNDED"
CANCELLED = "CANCELLED"
REVERSED_STATUSES = (REVERSED, REFUNDED, CANCELLED)

STATUSES = (PENDING, SUCCESSFUL, FAILED, *REVERSED_STATUSES)

# Reasons offered for a forced failure; any other text works, too.
REASONS = (
    LOW_BALANCE,
    INSUFFICIENT,
    PAYER_NOT_FOUND,
    ACCOUNT_NOT_ACTIVE,
    AMOUNT_TOO_LOW,
    DECLINED,
    EXPIRED,
    OPERATOR_ERROR,
    INVALID_OTP,
    OTP_EXPIRED,
)

# How long a scripted payer takes to decide.
PAYER_SECONDS = 2.0


class Answer(Enum):
    """How the request to collect is answered."""

    ACCEPTED = "accepted"
    CONNECTION_RESET = "connection reset"
    HTML_502 = "502 in HTML"
    UNAVAILABLE_503 = "503 before charging"
    FAILED_202 = "status FAILED in a 202"
    TRUNCATED = "truncated JSON"
    FINAL = "the final status, at once"
    AFTER_WEBHOOK = "after the webhook was delivered"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a payment, `after_seconds` after the request.

    `status`: the new one; None leaves it. `webhooks`: one for each of these statuses, a second apart. `short_by`: the
    units missing from the amount paid.
    """

    after_seconds: float
    status: str | None
    reason: str | None = None
    webhooks: tuple[str, ...] = ()
    short_by: int = 0

    @property
    def is_payers_decision(self) -> bool:
        """False for an abandoned page and for a reversal."""
        return self.status not in REVERSED_STATUSES and self.reason != EXPIRED


@dataclass(frozen=True, slots=True)
class Script:
    """The outcome of a magic number.

    `asks_payer` False: the operator refuses without a prompt. `never_ends`: an abandoned operator's page does not fail.
    """

    steps: tuple[Step, ...] = ()
    answer: Answer = Answer.ACCEPTED
    asks_payer: bool = True
    answer_after_seconds: float = 0.0
    odd_status_body: bool = False
    never_ends: bool = False


def approved(after_seconds: float = PAYER_SECONDS, webhooks: tuple[str, ...] = (SUCCESSFUL,)) -> Step:
    return Step(after_seconds, SUCCESSFUL, webhooks=webhooks)


def failed(reason: str, after_seconds: float = PAYER_SECONDS) -> Step:
    return Step(after_seconds, FAILED, reason, webhooks=(FAILED,))


WAITS_FOR_PAYER = Script()

SCRIPTS = {
    "00": Script((approved(),)),
    "01": Script((failed(LOW_BALANCE),), asks_payer=False),
    "02": Script((failed(PAYER_NOT_FOUND),), asks_payer=False),
    "03": Script((failed(DECLINED),)),
    "04": Script(never_ends=True),
    "05": Script((approved(90.0),)),
    "06": Script((approved(webhooks=()),)),
    # Out of order: an older status arrives between two copies of the newer one.
    "07": Script((approved(webhooks=(SUCCESSFUL, PENDING, SUCCESSFUL)),)),
    "08": Script((approved(0.0),), Answer.AFTER_WEBHOOK),
    "09": Script((approved(0.0),), Answer.CONNECTION_RESET),
    "10": Script((approved(0.0),), Answer.HTML_502),
    "11": Script(answer=Answer.UNAVAILABLE_503),
    "12": Script((failed(LOW_BALANCE, 0.0),), Answer.FAILED_202, asks_payer=False),
    "13": Script((Step(PAYER_SECONDS, SUCCESSFUL, webhooks=(SUCCESSFUL,), short_by=1),)),
    "14": Script((Step(PAYER_SECONDS, None, webhooks=(SUCCESSFUL,)),)),
    "15": Script((approved(),), odd_status_body=True),
    "16": Script((failed(DECLINED), approved(PAYER_SECONDS + 20.0))),
    "17": Script((approved(),), answer_after_seconds=20.0),
    "18": Script((approved(0.0),), Answer.TRUNCATED),
}


def script_for(msisdn: str) -> Script:
    """The script of this number; without a magic number it waits for the payer."""
    return SCRIPTS.get(msisdn[-2:], WAITS_FOR_PAYER)


def otp_refusal(otp: str) -> str | None:
    """The reason this code is refused; None for the correct one."""
    if otp == RIGHT_OTP:
        return None
    return OTP_EXPIRED if otp == EXPIRED_OTP else INVALID_OTP
