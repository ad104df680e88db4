"""Which faults a seed has, and how often. Not every seed has all: few faults reach states that many would prevent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.payments.lying_gateway import HISTORIES, STATUSES
from tests.payments.strategies import ANSWERS, PAGES, REQUEST_CASES

Choice = TypeVar("Choice")

#: The longest time for which FeexPay contradicts itself about one payment. Sunday's comparison reads nine days.
LONGEST_LIE_SECONDS = 30 * 3600


@dataclass(frozen=True, kw_only=True)
class Faults:
    """The faults of one seed; each rate is a probability. `settings`: the host's, over those of the tests."""

    answers: Sequence[str]
    answer_fault_rate: float
    pages: Sequence[str]
    read_fault_rate: float
    status_lies: Sequence[str]
    history_lies: Sequence[str]
    lie_rate: float
    webhook_loss_rate: float
    forged_rate: float
    second_charge_rate: float
    reversal_rate: float
    pause_rate: float
    kill_rate: float
    receiver_error_rate: float
    clock_jumps: bool
    cases: Sequence[str]
    payers: int
    settings: dict[str, Any]


def faults_of(seed: int) -> Faults:
    """Choose the faults of a seed."""
    source = random.Random(f"faults of {seed}")

    def rate(*choices: float) -> float:
        return source.choice(choices)

    settings: dict[str, Any] = {
        "DISPATCH": source.choice(["inline", "inline", "queue"]),
        "FEE_PAYER": source.choice(["merchant", "payer"]),
        "REVIEW_TWO_PERSON_ABOVE": source.choice([None, None, 1000]),
        "PROMPTS_PER_PHONE": source.choice([0, 0, 5]),
        "GATEWAY_PER_SECOND": source.choice([0, 0, 5]),
        "GATEWAY_AT_ONCE": source.choice([0, 0, 4]),
    }
    return Faults(
        answers=_some(source, sorted(set(ANSWERS) - {"accepted"})),
        answer_fault_rate=rate(0.0, 0.3, 0.6),
        pages=_some(source, sorted(PAGES)),
        read_fault_rate=rate(0.0, 0.05, 0.3),
        status_lies=_some(source, sorted(set(STATUSES) - {"true"})),
        history_lies=_some(source, sorted(set(HISTORIES) - {"true"})),
        lie_rate=rate(0.0, 0.0, 0.2, 0.5),
        webhook_loss_rate=rate(0.0, 0.3, 1.0),
        forged_rate=rate(0.0, 0.05),
        second_charge_rate=rate(0.0, 0.0, 0.15),
        reversal_rate=rate(0.0, 0.0, 0.15),
        pause_rate=rate(0.0, 0.05, 0.3),
        kill_rate=rate(0.0, 0.02, 0.1),
        receiver_error_rate=rate(0.0, 0.0, 0.3),
        clock_jumps=source.random() < 0.3,
        cases=_some(source, sorted(REQUEST_CASES)),
        payers=source.randint(1, 4),
        settings=settings,
    )


def _some(source: random.Random, choices: Sequence[Choice]) -> Sequence[Choice]:
    """A few of these, at least one."""
    return source.sample(list(choices), source.randint(1, len(choices)))
