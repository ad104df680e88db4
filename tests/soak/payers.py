"""Beside the players: the payers who choose on their phones, and somebody who posts webhooks that are none."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.soak.plan import LATE_PAYER, Plan, Purchase
from tests.soak.wire import Sandbox, Webhooks

_EVERY_SECONDS = 0.5


class Payers:
    """Choose for whom the plan lets choose, each at the time it names. `run` in a thread until `stop` is set."""

    def __init__(self, sandbox: Sandbox, plan: Plan) -> None:
        self._sandbox = sandbox
        self._by_amount: Mapping[int, Purchase] = {purchase.amount: purchase for purchase in plan.purchases}
        self.chosen: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(_EVERY_SECONDS):
            self.look()

    def look(self, *, hurried: bool = False) -> int:
        """Choose where it is time to, or all if hurried; how many will choose later, by themselves or by script."""
        waiting = [(row, self._by_amount[row["amount"]]) for row in self._sandbox.payments() if _is_asking(row)]
        planned = [(row, purchase) for row, purchase in waiting if purchase.choice]
        ripe = [
            (row, purchase)
            for row, purchase in planned
            if hurried or _age_seconds(row) >= purchase.choice_after_seconds
        ]
        for row, purchase in ripe:
            if self._sandbox.choose(row["reference"], purchase.choice):
                self.chosen[purchase.choice] += 1
        late = [row for row, purchase in waiting if purchase.ending == LATE_PAYER]
        return len(planned) - len(ripe) + len(late)


class Troublemaker:
    """Posts news that is old, doubled or made up, about payments there are. `run` in a thread until `stop` is set.

    `stored`: the (reference, status) of what the shop took; `codes`: its answers, by whether it was signed.
    """

    def __init__(self, sandbox: Sandbox, webhooks: Webhooks, seed: int) -> None:
        self._sandbox = sandbox
        self._webhooks = webhooks
        self._dice = random.Random(seed)
        self.stored: set[tuple[str, str]] = set()
        self.codes: Counter[tuple[bool, int]] = Counter()

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(_EVERY_SECONDS):
            rows = self._sandbox.payments()
            if rows:
                self._trouble(self._dice.choice(rows[:40]))

    def _trouble(self, row: dict[str, Any]) -> None:
        reference = row["reference"]
        self._sandbox.choose(reference, "resend")
        for signed in (True, False):
            status = self._dice.choice(("SUCCESSFUL", "FAILED", "PENDING"))
            news = {"reference": reference, "status": status, "amount": row["amount"], "callback_info": row["echo"]}
            code = self._webhooks.post(news, signed=signed)
            self.codes[signed, code] += 1
            if code == 200:
                self.stored.add((reference, status))


def _is_asking(row: dict[str, Any]) -> bool:
    return bool(row["status"] == "PENDING" and row["prompts"] > 0)


def _age_seconds(row: dict[str, Any]) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(row["created_at"])).total_seconds()
