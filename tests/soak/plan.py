"""The plan of one soak, drawn from a seed: purchases, decisions of the payers, faults, each with its time.

The same seed makes the same plan; how the processes race within it depends on the machine.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

#: Factor of every delay of the sandbox: a payer takes 0.8 s, the slow answer 8 s, the late payer 36 s.
TIME_SCALE = 0.4

#: The shop stops expecting a payer after this time, the shortest allowed; the late payer (05) decides after it.
EXPIRY_SECONDS = 30

#: A number is the provider's prefix, the canary digits and the magic number.
PREFIXES = {"mtn_bj": "0161", "moov_bj": "0145", "celtiis_bj": "0140", "togocom_tg": "90", "mtn_ci": "0565"}

#: Paid by card on FeexPay's page, without a number.
PAGE_PROVIDER = "visa"
_CANARY_DIGITS = "7394"

#: A number of this soak in any usual format. Within a longer run of hexadecimal digits it is a coincidence, and also
#: in a time: one of 300,000 ends with 40.7394 or 45.7394 and two more digits.
CANARY = r"(?<![0-9a-fA-F])(?<![0-9]{2}:)[0-9 .+-]{0,8}(?:61|45|40|90|65)[ .-]?73[ .-]?94[ .-]?[0-9]{2}(?![0-9a-fA-F])"

#: Endings with their weights. The payer decides for 50, 04 and 14.
_ENDINGS = {
    "00": 20, "01": 3, "02": 3, "03": 6, "04": 4, "05": 5, "06": 8, "07": 6, "08": 6, "09": 6,
    "10": 5, "11": 3, "12": 3, "13": 4, "14": 4, "15": 4, "16": 6, "17": 3, "18": 5, "50": 14,
}  # fmt: skip
LATE_PAYER = "05"
_UNDECIDED = ("04", "14", "50")
_FAILING = ("01", "02", "03", "12", "16")
_RETRIED_WITH = ("00", "06", "09", "50")


class Case(StrEnum):
    """What is special about a purchase. NONE: nothing but its ending."""

    NONE = ""
    CHARGED_ERROR = "error"  # FeexPay prompts the payer and answers with an error
    PAGE = "page"  # the payer pays by card on FeexPay's page
    PAGE_UNPAID = "unpaid"  # the payer never pays on the page
    PAGE_TWICE = "page x2"  # the page charges the card a second time
    PUSH_TWICE = "push x2"  # FeexPay charges a second time with the same callback_info
    REVERSED = "reversed"  # FeexPay gives the money back after the success
    HUNG = "hung"  # a receiver of the shop hangs on its signals


PAGES = frozenset({Case.PAGE, Case.PAGE_UNPAID, Case.PAGE_TWICE})

_CASES = {
    Case.NONE: 74, Case.PAGE: 6, Case.PAGE_UNPAID: 2, Case.PAGE_TWICE: 4, Case.PUSH_TWICE: 5,
    Case.REVERSED: 6, Case.HUNG: 3,
}  # fmt: skip

#: Every soak has these, in this order, after the charged errors. True: FeexPay sends a webhook about it. False:
#: FeexPay sends none and it happens after all purchases, so that only the nightly comparison can find it.
_ALWAYS_CASES = (
    (Case.REVERSED, True), (Case.PUSH_TWICE, True), (Case.PAGE_TWICE, True), (Case.HUNG, True), (Case.PAGE, True),
    (Case.REVERSED, False), (Case.PUSH_TWICE, False),
)  # fmt: skip

#: Payers who pay at once, as the follow-up needs a paid payment.
_PAID_AT_ONCE = ("00", "06", "08")
_REVERSED_STATUSES = ("REVERSED", "REFUNDED", "CANCELLED", "FAILED")


@dataclass(frozen=True)
class ChargedError:
    """The error that answers an accepted collect request. `named`: its body names the payment."""

    code: str
    named: bool


#: Each of the first purchases gets one of these.
CHARGED_ERRORS = tuple(ChargedError(code, named) for code in ("400", "429", "500", "503") for named in (False, True))

#: During the other purchases FeexPay also answers this share of accepted requests with an error.
CHARGED_ERROR_PERCENT = 6

#: Faults of every soak, and those added for each further `_SECONDS_FOR_ANOTHER`. A restart follows each kill.
_ALWAYS = ("kill worker-1", "kill worker-2", "kill shop", "kill sandbox", "crash database", "cut connections")
_MORE = ("kill cluster", "kill worker-1", "kill worker-2", "cut connections")
_SECONDS_FOR_ANOTHER = 20


@dataclass(frozen=True)
class FollowUp:
    """A second charge or a reversal of a paid payment.

    `call`, `body`: of the sandbox's control interface. `after_seconds`: since the payment; None: after all purchases.
    """

    call: str
    body: Mapping[str, object]
    after_seconds: float | None


@dataclass(frozen=True)
class Purchase:
    """One purchase of a player. Its `amount` is unique and identifies it at the sandbox."""

    index: int
    at_seconds: float
    player: int
    provider: str
    ending: str
    amount: int
    doubled: bool
    drops_connection: bool
    polls_fast: bool
    retried_with: str
    choice: str
    choice_after_seconds: float
    case: Case = Case.NONE
    charged_error: ChargedError | None = None
    follow_up: FollowUp | None = None

    @property
    def label(self) -> str:
        return self.case or self.ending

    def phone(self, ending: str = "") -> str:
        """The payer's number; "" for a card."""
        prefix = PREFIXES.get(self.provider)
        return "" if prefix is None else prefix + _CANARY_DIGITS + (ending or self.ending)


@dataclass(frozen=True)
class Fault:
    at_seconds: float
    what: str


@dataclass(frozen=True)
class Plan:
    seed: int
    seconds: float
    purchases: Sequence[Purchase]
    faults: Sequence[Fault]

    @property
    def hung_amounts(self) -> list[int]:
        """The amounts of the payments on whose signals a receiver hangs."""
        return [purchase.amount for purchase in self.purchases if purchase.case is Case.HUNG]

    @property
    def players(self) -> int:
        return max(purchase.player for purchase in self.purchases) + 1

    @property
    def player_timeout_seconds(self) -> float:
        """Longer than a circuit breaker stays open, except in a short soak."""
        return max(10.0, min(45.0, 1.5 * self.seconds))

    @property
    def with_cluster(self) -> bool:
        """False for a short soak, which ends before a cluster has started."""
        return any(fault.what == "kill cluster" for fault in self.faults)


def draw(seed: int, count: int) -> Plan:
    """The plan of `count` purchases, about five a second, with faults spread over them."""
    rng = random.Random(seed)
    seconds = max(6.0, count / 5)
    times = sorted(rng.uniform(0, seconds) for _ in range(count))
    purchases = [_purchase(rng, index, at, players=max(3, count // 10)) for index, at in enumerate(times)]
    faults = _faults(rng, seconds)
    return Plan(seed, seconds, [_with_case(rng, purchase) for purchase in purchases], faults)


def is_canary(text: str) -> bool:
    """Whether `text` contains a payer's number."""
    return re.search(CANARY, text) is not None


def _purchase(rng: random.Random, index: int, at_seconds: float, *, players: int) -> Purchase:
    ending = rng.choices(list(_ENDINGS), list(_ENDINGS.values()))[0]
    choice = rng.choices(("approve", "decline", ""), (6, 2, 2))[0] if ending in _UNDECIDED else ""
    late = rng.random() < 0.35
    return Purchase(
        index=index,
        at_seconds=at_seconds,
        player=rng.randrange(players),
        provider=rng.choice(list(PREFIXES)),
        ending=ending,
        amount=1000 + index,
        doubled=rng.random() < 0.20,
        drops_connection=rng.random() < 0.05,
        polls_fast=rng.random() < 0.05,
        # Half of the failures, which is one purchase in ten.
        retried_with=rng.choice(_RETRIED_WITH) if ending in _FAILING and rng.random() < 0.5 else "",
        choice=choice,
        choice_after_seconds=EXPIRY_SECONDS + rng.uniform(1, 10) if late else rng.uniform(0.3, 10),
    )


def _with_case(rng: random.Random, purchase: Purchase) -> Purchase:
    """The purchase with its special case, if it has one."""
    position = purchase.index - len(CHARGED_ERRORS)
    if position < 0:
        once = replace(purchase, ending=rng.choice(_PAID_AT_ONCE), at_seconds=0.0, retried_with="", choice="")
        return replace(once, case=Case.CHARGED_ERROR, charged_error=CHARGED_ERRORS[purchase.index], doubled=False)
    if position < len(_ALWAYS_CASES):
        case, announced = _ALWAYS_CASES[position]
    else:
        case, announced = rng.choices(list(_CASES), list(_CASES.values()))[0], rng.random() < 0.6
    if case is Case.NONE:
        return purchase
    special = replace(purchase, case=case, retried_with="", follow_up=_follow_up(rng, case, announced=announced))
    if case in PAGES:
        choice = "" if case is Case.PAGE_UNPAID else "pay"
        return replace(special, provider=PAGE_PROVIDER, ending="", choice=choice)
    return replace(special, ending=rng.choice(_PAID_AT_ONCE), choice="")


def _follow_up(rng: random.Random, case: Case, *, announced: bool) -> FollowUp | None:
    after_seconds = rng.uniform(1.0, 8.0) if announced else None
    if case is Case.REVERSED:
        return FollowUp("reverse", {"status": rng.choice(_REVERSED_STATUSES), "webhook": announced}, after_seconds)
    if case in (Case.PAGE_TWICE, Case.PUSH_TWICE):
        return FollowUp("charge_again", {"webhook": announced}, after_seconds)
    return None


def _faults(rng: random.Random, seconds: float) -> list[Fault]:
    more = int(seconds / _SECONDS_FOR_ANOTHER)
    kinds = [*_ALWAYS, *(_MORE[number % len(_MORE)] for number in range(more))]
    rng.shuffle(kinds)
    # Spread out, so that each fault meets a system that has recovered from the one before.
    gap = seconds / len(kinds)
    return [Fault((position + rng.uniform(0.1, 0.6)) * gap, kind) for position, kind in enumerate(kinds)]
