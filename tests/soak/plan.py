"""What is to happen in one soak, drawn from a seed beforehand: who pays how, what the payers choose, what breaks when.

The same seed makes the same plan. How processes and sockets race within it is the machine's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Every delay of the sandbox is this much shorter: a payer takes 0.8 s, the slow answer 8 s, the late payer 36 s.
TIME_SCALE = 0.4

#: When the shop stops expecting a payer, the shortest there is; the late payer of ending 05 comes after it.
EXPIRY_SECONDS = 30

#: Each number begins with its provider's digits, goes on with the canary, and ends with the magic number.
PREFIXES = {"mtn_bj": "0161", "moov_bj": "0145", "celtiis_bj": "0140", "togocom_tg": "90", "mtn_ci": "0565"}
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

#: What breaks, how often in a soak of this many seconds or more; each kill is followed by a restart.
_ALWAYS = ("kill worker-1", "kill worker-2", "kill shop", "kill sandbox", "crash database", "cut connections")
_MORE = ("kill cluster", "kill worker-1", "kill worker-2", "cut connections")
_SECONDS_FOR_ANOTHER = 20


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

    def phone(self, ending: str = "") -> str:
        return PREFIXES[self.provider] + _CANARY_DIGITS + (ending or self.ending)


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
    def players(self) -> int:
        return max(purchase.player for purchase in self.purchases) + 1

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
    return Plan(seed, seconds, purchases, _faults(dice, seconds))


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


def _faults(dice: random.Random, seconds: float) -> list[Fault]:
    more = int(seconds / _SECONDS_FOR_ANOTHER)
    kinds = [*_ALWAYS, *(_MORE[number % len(_MORE)] for number in range(more))]
    dice.shuffle(kinds)
    # One after the other with room between them, so that each strikes a system that works again.
    room = seconds / len(kinds)
    return [Fault((place + dice.uniform(0.1, 0.6)) * room, kind) for place, kind in enumerate(kinds)]
