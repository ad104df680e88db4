"""What is to happen in one soak, drawn from a seed beforehand: who pays how, what the payers choose, what breaks when.

The same seed makes the same plan. How processes and sockets race within it is the machine's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

#: Every delay of the sandbox is this much shorter: a payer takes 0.8 s, the slow answer 8 s, the late payer 36 s.
TIME_SCALE = 0.4

#: When the shop stops expecting a payer, the shortest there is; the late payer of ending 05 comes after it.
EXPIRY_SECONDS = 30

#: Each number begins with its provider's digits, goes on with the canary, and ends with the magic number.
PREFIXES = {"mtn_bj": "0161", "moov_bj": "0145", "celtiis_bj": "0140", "togocom_tg": "90", "mtn_ci": "0565"}

#: Paid by card on FeexPay's page, without a number.
PAGE_PROVIDER = "visa"
_CANARY_DIGITS = "7394"

#: A number of this soak in any usual writing. Inside a longer run of hexadecimal digits it is chance, no leak.
CANARY = r"(?<![0-9a-fA-F])[0-9 .+-]{0,8}(?:61|45|40|90|65)[ .-]?73[ .-]?94[ .-]?[0-9]{2}(?![0-9a-fA-F])"

#: Endings and how often they come. 50 has no script: the payer decides, as for 04 and 14.
_ENDINGS = {
    "00": 20, "01": 3, "02": 3, "03": 6, "04": 4, "05": 5, "06": 8, "07": 6, "08": 6, "09": 6,
    "10": 5, "11": 3, "12": 3, "13": 4, "14": 4, "15": 4, "16": 6, "17": 3, "18": 5, "50": 14,
}  # fmt: skip
LATE_PAYER = "05"
_UNDECIDED = ("04", "14", "50")
_FAILING = ("01", "02", "03", "12", "16")
_RETRIED_WITH = ("00", "06", "09", "50")


class Case(StrEnum):
    """What is special about a purchase. NONE: it only has its ending."""

    NONE = ""
    CHARGED_ERROR = "error"  # FeexPay asks the payer and answers with an error
    PAGE = "page"  # the payer pays by card on FeexPay's page
    PAGE_UNPAID = "unpaid"  # the payer never does
    PAGE_TWICE = "page x2"  # the page charges the card a second time
    PUSH_TWICE = "push x2"  # FeexPay charges a second time under the same echo
    REVERSED = "reversed"  # FeexPay takes the money back after the success
    HUNG = "hung"  # a receiver of the shop hangs on its signals


PAGES = frozenset({Case.PAGE, Case.PAGE_UNPAID, Case.PAGE_TWICE})

_CASES = {
    Case.NONE: 74, Case.PAGE: 6, Case.PAGE_UNPAID: 2, Case.PAGE_TWICE: 4, Case.PUSH_TWICE: 5,
    Case.REVERSED: 6, Case.HUNG: 3,
}  # fmt: skip

#: Even a short soak has these, in this order, after the charged errors. True: FeexPay sends a webhook about it; False:
#: it happens after the purchases and unannounced, so that only the nightly comparison can find it.
_ALWAYS_CASES = (
    (Case.REVERSED, True), (Case.PUSH_TWICE, True), (Case.PAGE_TWICE, True), (Case.HUNG, True), (Case.PAGE, True),
    (Case.REVERSED, False), (Case.PUSH_TWICE, False),
)  # fmt: skip

#: A payer who pays at once, so that what follows the payment can follow.
_PAID_AT_ONCE = ("00", "06", "08")
_TAKEN_BACK = ("REVERSED", "REFUNDED", "CANCELLED", "FAILED")


@dataclass(frozen=True)
class ChargedError:
    """An error that an accepted request to collect is answered by. named: its body names the payment."""

    code: str
    named: bool


#: The first purchases meet one each.
CHARGED_ERRORS = tuple(ChargedError(code, named) for code in ("400", "429", "500", "503") for named in (False, True))

#: While the others are made, FeexPay answers some accepted requests by an error, too.
CHARGED_ERROR_PERCENT = 6

#: What breaks, how often in a soak of this many seconds or more; each kill is followed by a restart.
_ALWAYS = ("kill worker-1", "kill worker-2", "kill shop", "kill sandbox", "crash database", "cut connections")
_MORE = ("kill cluster", "kill worker-1", "kill worker-2", "cut connections")
_SECONDS_FOR_ANOTHER = 20


@dataclass(frozen=True)
class Sequel:
    """What FeexPay does with a payment after it was paid.

    call, body: of the sandbox's control interface. after_seconds: since it was paid; None: after the purchases.
    """

    call: str
    body: Mapping[str, object]
    after_seconds: float | None


@dataclass(frozen=True)
class Purchase:
    """One player's wish. `amount` is this purchase's alone, so that it is known again at the sandbox."""

    index: int
    at_seconds: float
    player: int
    provider: str
    ending: str
    amount: int
    doubled: bool
    loses_answer: bool
    polls_hard: bool
    retried_with: str
    choice: str
    choice_after_seconds: float
    case: Case = Case.NONE
    charged_error: ChargedError | None = None
    sequel: Sequel | None = None

    @property
    def label(self) -> str:
        return self.case or self.ending

    def phone(self, ending: str = "") -> str:
        """ "" for one who pays by card."""
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
        """The payments on whose signals a receiver of the shop hangs."""
        return [purchase.amount for purchase in self.purchases if purchase.case is Case.HUNG]

    @property
    def players(self) -> int:
        return max(purchase.player for purchase in self.purchases) + 1

    @property
    def player_patience_seconds(self) -> float:
        """Longer than a circuit breaker stays open, but in a short soak, which is to end soon."""
        return max(10.0, min(45.0, 1.5 * self.seconds))

    @property
    def with_cluster(self) -> bool:
        """A soak of a few seconds is over before a cluster has begun: it has only the workers."""
        return any(fault.what == "kill cluster" for fault in self.faults)


def draw(seed: int, count: int) -> Plan:
    """The plan of a soak of `count` purchases: about five a second, the faults all through them."""
    dice = random.Random(seed)
    seconds = max(6.0, count / 5)
    instants = sorted(dice.uniform(0, seconds) for _ in range(count))
    purchases = [_purchase(dice, index, at, players=max(3, count // 10)) for index, at in enumerate(instants)]
    faults = _faults(dice, seconds)
    return Plan(seed, seconds, [_with_case(dice, purchase) for purchase in purchases], faults)


def is_canary(text: str) -> bool:
    """Whether a payer's number is in it."""
    return re.search(CANARY, text) is not None


def _purchase(dice: random.Random, index: int, at_seconds: float, *, players: int) -> Purchase:
    ending = dice.choices(list(_ENDINGS), list(_ENDINGS.values()))[0]
    choice = dice.choices(("approve", "decline", ""), (6, 2, 2))[0] if ending in _UNDECIDED else ""
    late = dice.random() < 0.35
    return Purchase(
        index=index,
        at_seconds=at_seconds,
        player=dice.randrange(players),
        provider=dice.choice(list(PREFIXES)),
        ending=ending,
        amount=1000 + index,
        doubled=dice.random() < 0.20,
        loses_answer=dice.random() < 0.05,
        polls_hard=dice.random() < 0.05,
        # About every second failure: one purchase in ten.
        retried_with=dice.choice(_RETRIED_WITH) if ending in _FAILING and dice.random() < 0.5 else "",
        choice=choice,
        choice_after_seconds=EXPIRY_SECONDS + dice.uniform(1, 10) if late else dice.uniform(0.3, 10),
    )


def _with_case(dice: random.Random, purchase: Purchase) -> Purchase:
    """A purchase with what is special about it."""
    place = purchase.index - len(CHARGED_ERRORS)
    if place < 0:
        once = replace(purchase, ending=dice.choice(_PAID_AT_ONCE), at_seconds=0.0, retried_with="", choice="")
        return replace(once, case=Case.CHARGED_ERROR, charged_error=CHARGED_ERRORS[purchase.index], doubled=False)
    if place < len(_ALWAYS_CASES):
        case, announced = _ALWAYS_CASES[place]
    else:
        case, announced = dice.choices(list(_CASES), list(_CASES.values()))[0], dice.random() < 0.6
    if case is Case.NONE:
        return purchase
    special = replace(purchase, case=case, retried_with="", sequel=_sequel(dice, case, announced=announced))
    if case in PAGES:
        choice = "" if case is Case.PAGE_UNPAID else "pay"
        return replace(special, provider=PAGE_PROVIDER, ending="", choice=choice)
    return replace(special, ending=dice.choice(_PAID_AT_ONCE), choice="")


def _sequel(dice: random.Random, case: Case, *, announced: bool) -> Sequel | None:
    after_seconds = dice.uniform(1.0, 8.0) if announced else None
    if case is Case.REVERSED:
        return Sequel("reverse", {"status": dice.choice(_TAKEN_BACK), "webhook": announced}, after_seconds)
    if case in (Case.PAGE_TWICE, Case.PUSH_TWICE):
        return Sequel("charge_again", {"webhook": announced}, after_seconds)
    return None


def _faults(dice: random.Random, seconds: float) -> list[Fault]:
    more = int(seconds / _SECONDS_FOR_ANOTHER)
    kinds = [*_ALWAYS, *(_MORE[number % len(_MORE)] for number in range(more))]
    dice.shuffle(kinds)
    # One after the other with room between them, so that each strikes a system that works again.
    room = seconds / len(kinds)
    return [Fault((place + dice.uniform(0.1, 0.6)) * room, kind) for place, kind in enumerate(kinds)]
