"""The shop's players: they buy, tap twice, lose answers, look too often and try again after a failure."""

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

from tests.soak.plan import CHARGED_ERROR_PERCENT, CHARGED_ERRORS, Plan, Purchase
from tests.soak.wire import PAYMENTS, Sandbox, ask, send_and_hang_up, wait_until

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.4, 2.0
_ASKED_FOR_SECONDS = 10.0
_PLAYERS_AT_ONCE = 24

# Answers that mean "ask again": the twin still runs, too many requests, the database is away.
_ASK_AGAIN = {(409, "idempotency_conflict"), (429, "throttled"), (503, "gateway_unavailable")}
_AS_IT_SHOULD = {(409, "payment_open"), (409, "not_retryable")}


class Players:
    """Play the purchases of a plan. What they were told is for the verdict.

    `codes`: HTTP codes by how often; `surprises`: answers no app should get; `ids`: by key, the payments named.
    """

    def __init__(self, shop: str, tokens: Sequence[str], *, timeout_seconds: float) -> None:
        """timeout_seconds: how long a player's app asks again with the same key before it gives up."""
        self._shop = shop
        self._tokens = tokens
        self._patience_seconds = timeout_seconds
        self._lock = threading.Lock()
        self.codes: Counter[int] = Counter()
        self.surprises: list[str] = []
        self.ids: dict[str, set[str]] = defaultdict(set)

    def play(self, plan: Plan) -> None:
        """All purchases, each at its time; returns when the last player has what he came for, or gave up."""
        began_at = time.monotonic()
        with ThreadPoolExecutor(_PLAYERS_AT_ONCE) as pool:
            games = []
            for purchase in plan.purchases:
                if purchase.charged_error is not None:
                    continue  # `meet_errors` had its turn
                time.sleep(max(0.0, began_at + purchase.at_seconds - time.monotonic()))
                games.append(pool.submit(self._buy, purchase))
            for game in games:
                game.result()

    def meet_errors(self, plan: Plan, sandbox: Sandbox) -> None:
        """The purchases whose accepted request FeexPay answers with an error, one after the other, so that each meets
        its own error.
        """
        for purchase in plan.purchases:
            if (error := purchase.charged_error) is None:
                continue
            named_percent = 100 if error.named else 0
            sandbox.change(
                charged_error_percent=100, charged_error_codes=[error.code], charged_error_named_percent=named_percent
            )
            self._buy(purchase)
            wait_until(partial(_was_asked_for, sandbox, purchase.amount), seconds=_ASKED_FOR_SECONDS)
        percent, codes = CHARGED_ERROR_PERCENT, sorted({error.code for error in CHARGED_ERRORS})
        sandbox.change(
            charged_error_percent=percent, charged_error_codes=codes, charged_error_named_percent=50, seed=plan.seed
        )

    def _buy(self, purchase: Purchase) -> None:
        payment = self._initiate(purchase)
        if payment is None:
            return
        if purchase.polls_hard:
            self._watch(purchase, payment, seconds=4.0, every_seconds=0.05)
        if purchase.retried_with:
            self._retry(purchase, self._watch(purchase, payment, seconds=8.0, every_seconds=0.5))
        else:
            self._watch(purchase, payment, seconds=1.0, every_seconds=0.7)

    def _initiate(self, purchase: Purchase) -> dict[str, Any] | None:
        key = str(uuid.uuid4())
        body: dict[str, object] = {"provider": purchase.provider, "amount": purchase.amount}
        if phone := purchase.phone():
            body["phone"] = phone
        url = f"{self._shop}{PAYMENTS}/initiate/"
        if purchase.loses_answer:
            send_and_hang_up(url, body, self._headers(purchase, key))
        if not purchase.doubled:
            return self._insist(purchase, url, body, key)
        with ThreadPoolExecutor(1) as finger:
            twin = finger.submit(self._insist, purchase, url, body, key)
            payment = self._insist(purchase, url, body, key)
            return payment or twin.result()

    def _retry(self, purchase: Purchase, payment: dict[str, Any]) -> None:
        if payment["status"] == "failed":
            url = f"{self._shop}{PAYMENTS}/retry/{payment['id']}/"
            self._insist(purchase, url, {"phone": purchase.phone(purchase.retried_with)}, str(uuid.uuid4()))

    def _insist(self, purchase: Purchase, url: str, body: object, key: str) -> dict[str, Any] | None:
        """The payment that was answered; asked for again with the same key until it is, or patience is at its end."""
        give_up_at = time.monotonic() + self._patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while time.monotonic() < give_up_at:
            answer = ask("POST", url, json=body, headers=self._headers(purchase, key))
            if answer is not None:
                if answer.status_code in (200, 201, 202):
                    return self._told(answer, key)
                if not self._is_to_be_asked_again(answer):
                    return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return None

    def _told(self, answer: requests.Response, key: str) -> dict[str, Any]:
        payment: dict[str, Any] = answer.json()
        with self._lock:
            self.codes[answer.status_code] += 1
            self.ids[key].add(payment["id"])
        return payment

    def _is_to_be_asked_again(self, answer: requests.Response) -> bool:
        said = answer.status_code, _code(answer)
        with self._lock:
            self.codes[answer.status_code] += 1
            if said not in _ASK_AGAIN | _AS_IT_SHOULD:
                self.surprises.append(f"{answer.request.method} {answer.request.path_url}: {said[0]} {said[1]}")
        return said in _ASK_AGAIN

    def _watch(
        self, purchase: Purchase, payment: dict[str, Any], *, seconds: float, every_seconds: float
    ) -> dict[str, Any]:
        """The payment as last seen, looked at until it is settled or the time is over."""
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
                self._is_to_be_asked_again(answer)
        return payment

    def _headers(self, purchase: Purchase, key: str = "") -> dict[str, str]:
        bearer = {"Authorization": f"Bearer {self._tokens[purchase.player]}"}
        return bearer | ({"Idempotency-Key": key} if key else {})


def _was_asked_for(sandbox: Sandbox, amount: int) -> bool:
    return any(row["amount"] == amount for row in sandbox.payments())


def _code(answer: requests.Response) -> str:
    try:
        return str(answer.json()["code"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return "no problem document"
