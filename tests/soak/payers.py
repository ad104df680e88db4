"""Beside the players: the payers who choose on their phones, and somebody who posts webhooks that are none."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.soak.plan import LATE_PAYER, PAGES, Plan, Purchase
from tests.soak.wire import Sandbox, Webhooks

_EVERY_SECONDS = 0.5


class Payers:
    """Choose for whom the plan lets choose, each at the time it names; and do for FeexPay what it does with a payment
    after it was paid. `run` in a thread until `stop` is set.
    """

    def __init__(self, sandbox: Sandbox, plan: Plan) -> None:
        self._sandbox = sandbox
        self._by_amount: Mapping[int, Purchase] = {purchase.amount: purchase for purchase in plan.purchases}
        self._page_seen_at: dict[str, float] = {}
        self._continued: set[int] = set()
        self.chosen: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(_EVERY_SECONDS):
            self.look()

    def look(self, *, hurried: bool = False) -> int:
        """Choose where it is time to, or all if hurried; how many will choose later, by themselves or by script."""
        rows = self._sandbox.payments()
        later = self._choose(rows, hurried=hurried) + self._pay_on_pages(rows, hurried=hurried)
        if hurried:
            rows = self._sandbox.payments()  # some were paid just now, and there is no next time
        return later + self._go_on(rows, hurried=hurried)

    def _choose(self, rows: list[dict[str, Any]], *, hurried: bool) -> int:
        waiting = [(row, self._by_amount[row["amount"]]) for row in rows if _is_asking(row)]
        planned = [(row, purchase) for row, purchase in waiting if purchase.choice and purchase.case not in PAGES]
        ripe = [
            (row, purchase)
            for row, purchase in planned
            if hurried or _age_seconds(row["created_at"]) >= purchase.choice_after_seconds
        ]
        for row, purchase in ripe:
            if self._sandbox.choose(row["reference"], purchase.choice):
                self.chosen[purchase.choice] += 1
        late = [row for row, purchase in waiting if purchase.ending == LATE_PAYER]
        return len(planned) - len(ripe) + len(late)

    def _pay_on_pages(self, rows: list[dict[str, Any]], *, hurried: bool) -> int:
        """Pay by card on the pages that were opened; how many will be paid later. One that has closed is left."""
        now, paid, later = time.monotonic(), {row["link"] for row in rows}, 0
        for link in self._sandbox.links():
            code, purchase = link["code"], self._by_amount[link["amount"]]
            since = now - self._page_seen_at.setdefault(code, now)
            if code in paid or not purchase.choice or datetime.fromisoformat(link["expires_at"]) <= datetime.now(UTC):
                continue
            if not hurried and since < purchase.choice_after_seconds:
                later += 1
            elif self._sandbox.pay_link(code):
                self.chosen["pay"] += 1
        return later

    def _go_on(self, rows: list[dict[str, Any]], *, hurried: bool) -> int:
        """Charge again and take back what the plan names; how many of these are to come, but for those of the end."""
        later = 0
        for row in rows:
            purchase = self._by_amount[row["amount"]]
            sequel = purchase.sequel
            if sequel is None or not row["charged"] or purchase.index in self._continued:
                continue
            after = sequel.after_seconds
            if hurried or (after is not None and _age_seconds(row["settled_at"]) >= after):
                if self._sandbox.call(row["reference"], sequel.call, sequel.body):
                    self._continued.add(purchase.index)
                    self.chosen[sequel.call] += 1
            else:
                later += after is not None
        return later


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


def _age_seconds(instant: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds()
