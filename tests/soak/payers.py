"""The payers, who decide on their phones, and an attacker, who posts old and forged webhooks."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.soak.clients import Sandbox, Webhooks
from tests.soak.plan import LATE_PAYER, PAGES, Plan, Purchase

_EVERY_SECONDS = 0.5


class Payers:
    """Decides for the payers at the times of the plan, and makes FeexPay's second charges and reversals.

    `run` in a thread until `stop` is set.
    """

    def __init__(self, sandbox: Sandbox, plan: Plan) -> None:
        self._sandbox = sandbox
        self._by_amount: Mapping[int, Purchase] = {purchase.amount: purchase for purchase in plan.purchases}
        self._link_seen_at: dict[str, float] = {}
        self._followed_up: set[int] = set()
        self.chosen: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(_EVERY_SECONDS):
            self.act()

    def act(self, *, at_once: bool = False) -> int:
        """Make the decisions that are due, or all with `at_once`; return how many are still to come."""
        rows = self._sandbox.payments()
        later = self._choose(rows, at_once=at_once) + self._pay_on_pages(rows, at_once=at_once)
        if at_once:
            rows = self._sandbox.payments()  # some were paid just now, and this is the last call
        return later + self._run_follow_ups(rows, at_once=at_once)

    def _choose(self, rows: list[dict[str, Any]], *, at_once: bool) -> int:
        waiting = [(row, self._by_amount[row["amount"]]) for row in rows if _waits_for_payer(row)]
        planned = [(row, purchase) for row, purchase in waiting if purchase.choice and purchase.case not in PAGES]
        due = [
            (row, purchase)
            for row, purchase in planned
            if at_once or _age_seconds(row["created_at"]) >= purchase.choice_after_seconds
        ]
        for row, purchase in due:
            if self._sandbox.choose(row["reference"], purchase.choice):
                self.chosen[purchase.choice] += 1
        late = [row for row, purchase in waiting if purchase.ending == LATE_PAYER]
        return len(planned) - len(due) + len(late)

    def _pay_on_pages(self, rows: list[dict[str, Any]], *, at_once: bool) -> int:
        """Pay by card on open pages, except expired ones; return how many will be paid later."""
        now, paid, later = time.monotonic(), {row["link"] for row in rows}, 0
        for link in self._sandbox.links():
            code, purchase = link["code"], self._by_amount[link["amount"]]
            since = now - self._link_seen_at.setdefault(code, now)
            if code in paid or not purchase.choice or datetime.fromisoformat(link["expires_at"]) <= datetime.now(UTC):
                continue
            if not at_once and since < purchase.choice_after_seconds:
                later += 1
            elif self._sandbox.pay_link(code):
                self.chosen["pay"] += 1
        return later

    def _run_follow_ups(self, rows: list[dict[str, Any]], *, at_once: bool) -> int:
        """Make the second charges and reversals that are due, or all with `at_once`. Return how many are still to come,
        without those that are made only after all purchases.
        """
        later = 0
        for row in rows:
            purchase = self._by_amount[row["amount"]]
            follow_up = purchase.follow_up
            if follow_up is None or not row["charged"] or purchase.index in self._followed_up:
                continue
            after = follow_up.after_seconds
            if at_once or (after is not None and _age_seconds(row["settled_at"]) >= after):
                if self._sandbox.call(row["reference"], follow_up.call, follow_up.body):
                    self._followed_up.add(purchase.index)
                    self.chosen[follow_up.call] += 1
            else:
                later += after is not None
        return later


class WebhookAttacker:
    """Posts old, repeated and forged webhooks about real payments. `run` in a thread until `stop` is set.

    `stored`: the (reference, status) of the webhooks answered with 200. `codes`: counts of (signed, HTTP code).
    """

    def __init__(self, sandbox: Sandbox, webhooks: Webhooks, seed: int) -> None:
        self._sandbox = sandbox
        self._webhooks = webhooks
        self._rng = random.Random(seed)
        self.stored: set[tuple[str, str]] = set()
        self.codes: Counter[tuple[bool, int]] = Counter()

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(_EVERY_SECONDS):
            rows = self._sandbox.payments()
            if rows:
                self._attack(self._rng.choice(rows[:40]))

    def _attack(self, row: dict[str, Any]) -> None:
        reference = row["reference"]
        self._sandbox.choose(reference, "resend")
        for signed in (True, False):
            status = self._rng.choice(("SUCCESSFUL", "FAILED", "PENDING"))
            body = {"reference": reference, "status": status, "amount": row["amount"], "callback_info": row["echo"]}
            code = self._webhooks.post(body, signed=signed)
            self.codes[signed, code] += 1
            if code == 200:
                self.stored.add((reference, status))


def _waits_for_payer(row: dict[str, Any]) -> bool:
    return bool(row["status"] == "PENDING" and row["prompts"] > 0)


def _age_seconds(instant: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds()
