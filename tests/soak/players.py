"""The shop's players: they buy, tap twice, drop connections, poll too fast and retry after a failure."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import requests

from tests.soak.clients import PAYMENTS, Sandbox, ask, send_and_hang_up, wait_until
from tests.soak.plan import CHARGED_ERROR_PERCENT, CHARGED_ERRORS, Plan, Purchase

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.4, 2.0
_REACHED_SECONDS = 10.0
_PLAYERS_AT_ONCE = 24

# Answers after which the app repeats the request: a duplicate is running, throttled, the database is unavailable.
_REPEATABLE = {(409, "idempotency_conflict"), (429, "throttled"), (503, "gateway_unavailable")}
_EXPECTED = {(409, "payment_open"), (409, "not_retryable")}


class Players:
    """Makes the purchases of a plan and records the answers.

    `codes`: counts of HTTP codes. `unexpected`: answers no app should get. `ids`: payment ids by idempotency key.
    """

    def __init__(self, shop: str, tokens: Sequence[str], *, timeout_seconds: float) -> None:
        """`timeout_seconds`: how long an app repeats a request with the same key before it gives up."""
        self._shop = shop
        self._tokens = tokens
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self.codes: Counter[int] = Counter()
        self.unexpected: list[str] = []
        self.ids: dict[str, set[str]] = defaultdict(set)

    def play(self, plan: Plan) -> None:
        """Make every purchase at its time; return when the last one is answered or given up."""
        began_at = time.monotonic()
        with ThreadPoolExecutor(_PLAYERS_AT_ONCE) as pool:
            running = []
            for purchase in plan.purchases:
                if purchase.charged_error is not None:
                    continue  # made by `play_charged_errors`
                time.sleep(max(0.0, began_at + purchase.at_seconds - time.monotonic()))
                running.append(pool.submit(self._buy, purchase))
            for purchase_made in running:
                purchase_made.result()

    def play_charged_errors(self, plan: Plan, sandbox: Sandbox) -> None:
        """Make the purchases whose accepted request FeexPay answers with an error, one after the other, so that each
        gets its own error.
        """
        for purchase in plan.purchases:
            if (error := purchase.charged_error) is None:
                continue
            named_percent = 100 if error.named else 0
            sandbox.change(
                charged_error_percent=100, charged_error_codes=[error.code], charged_error_named_percent=named_percent
            )
            self._buy(purchase)
            wait_until(partial(_reached_sandbox, sandbox, purchase.amount), seconds=_REACHED_SECONDS)
        percent, codes = CHARGED_ERROR_PERCENT, sorted({error.code for error in CHARGED_ERRORS})
        sandbox.change(
            charged_error_percent=percent, charged_error_codes=codes, charged_error_named_percent=50, seed=plan.seed
        )

    def _buy(self, purchase: Purchase) -> None:
        payment = self._initiate(purchase)
        if payment is None:
            return
        if purchase.polls_fast:
            self._poll(purchase, payment, seconds=4.0, every_seconds=0.05)
        if purchase.retried_with:
            self._retry(purchase, self._poll(purchase, payment, seconds=8.0, every_seconds=0.5))
        else:
            self._poll(purchase, payment, seconds=1.0, every_seconds=0.7)

    def _initiate(self, purchase: Purchase) -> dict[str, Any] | None:
        key = str(uuid.uuid4())
        body: dict[str, object] = {"provider": purchase.provider, "amount": purchase.amount}
        if phone := purchase.phone():
            body["phone"] = phone
        url = f"{self._shop}{PAYMENTS}/initiate/"
        if purchase.drops_connection:
            send_and_hang_up(url, body, self._headers(purchase, key))
        if not purchase.doubled:
            return self._send_until_answered(purchase, url, body, key)
        with ThreadPoolExecutor(1) as second_tap:
            duplicate = second_tap.submit(self._send_until_answered, purchase, url, body, key)
            payment = self._send_until_answered(purchase, url, body, key)
            return payment or duplicate.result()

    def _retry(self, purchase: Purchase, payment: dict[str, Any]) -> None:
        if payment["status"] == "failed":
            url = f"{self._shop}{PAYMENTS}/retry/{payment['id']}/"
            self._send_until_answered(
                purchase, url, {"phone": purchase.phone(purchase.retried_with)}, str(uuid.uuid4())
            )

    def _send_until_answered(self, purchase: Purchase, url: str, body: object, key: str) -> dict[str, Any] | None:
        """Send with the same key until an answer comes. Return its payment, or None when refused or timed out."""
        give_up_at = time.monotonic() + self._timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        while time.monotonic() < give_up_at:
            answer = ask("POST", url, json=body, headers=self._headers(purchase, key))
            if answer is not None:
                if answer.status_code in (200, 201, 202):
                    return self._record(answer, key)
                if not self._may_repeat(answer):
                    return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return None

    def _record(self, answer: requests.Response, key: str) -> dict[str, Any]:
        payment: dict[str, Any] = answer.json()
        with self._lock:
            self.codes[answer.status_code] += 1
            self.ids[key].add(payment["id"])
        return payment

    def _may_repeat(self, answer: requests.Response) -> bool:
        problem = answer.status_code, _code(answer)
        with self._lock:
            self.codes[answer.status_code] += 1
            if problem not in _REPEATABLE | _EXPECTED:
                self.unexpected.append(f"{answer.request.method} {answer.request.path_url}: {problem[0]} {problem[1]}")
        return problem in _REPEATABLE

    def _poll(
        self, purchase: Purchase, payment: dict[str, Any], *, seconds: float, every_seconds: float
    ) -> dict[str, Any]:
        """Poll the payment until it is settled or the time is over, and return it as last read."""
        give_up_at = time.monotonic() + seconds
        while payment["status"] == "pending" and time.monotonic() < give_up_at:
            time.sleep(every_seconds)
            url = f"{self._shop}{PAYMENTS}/{payment['id']}/status/"
            answer = ask("GET", url, headers=self._headers(purchase))
            if answer is not None and answer.status_code == 200:
                payment = answer.json()
                with self._lock:
                    self.codes[200] += 1
            elif answer is not None:
                self._may_repeat(answer)
        return payment

    def _headers(self, purchase: Purchase, key: str = "") -> dict[str, str]:
        bearer = {"Authorization": f"Bearer {self._tokens[purchase.player]}"}
        return bearer | ({"Idempotency-Key": key} if key else {})


def _reached_sandbox(sandbox: Sandbox, amount: int) -> bool:
    return any(row["amount"] == amount for row in sandbox.payments())


def _code(answer: requests.Response) -> str:
    try:
        return str(answer.json()["code"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return "no problem document"
