"""The payers: each starts a payment, approves it, and reads its status until it is settled; then the next."""

from __future__ import annotations

import itertools
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.soak.clients import PAYMENTS, Sandbox, ask

#: Buys fifty coins as a free top-up.
AMOUNT = 500
_PROVIDER = "mtn_bj"
#: The payer's number. At the sandbox a number with this ending waits for an approval.
_PHONE = "0161{:04}50"
_PHONES = 10_000
#: How often an app that shows the payment reads its status.
_READ_EVERY_SECONDS = 0.5
_TIMEOUT_SECONDS = 60.0
_TRIES = 3
_PROBLEM_CODE = re.compile(r'"code": ?"(\w+)"')


@dataclass(slots=True)
class Driven:
    """What payers did. `started`: ids of payments. `refused`: answers that no payer should get, by their text."""

    started: list[str] = field(default_factory=list)
    initiate_seconds: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    status_reads: int = 0
    seconds: float = 0.0

    def add(self, other: Driven) -> None:
        self.started += other.started
        self.initiate_seconds += other.initiate_seconds
        self.refused += other.refused
        self.status_reads += other.status_reads


class Payers:
    """One payer for each token."""

    def __init__(self, shop: str, sandbox: Sandbox, tokens: Sequence[str]) -> None:
        self._shop = f"{shop}{PAYMENTS}"
        self._sandbox = sandbox
        self._tokens = tokens
        self._numbers = itertools.count()
        self._interrupted = threading.Event()

    def pay(self, seconds: float) -> Driven:
        """Pay for this time; return when the last payment is settled. Each payer pays at least once."""
        driven, began = Driven(), time.monotonic()
        with ThreadPoolExecutor(len(self._tokens)) as pool:
            running = [pool.submit(self._pay, token, began + seconds) for token in self._tokens]
            try:
                for one in running:
                    driven.add(one.result())
            finally:
                self._interrupted.set()  # after an error or Ctrl-C, the others do not wait for their payments
        self._interrupted.clear()
        driven.seconds = time.monotonic() - began
        return driven

    def _pay(self, token: str, until: float) -> Driven:
        driven, headers = Driven(), {"Authorization": f"Bearer {token}"}
        while not self._interrupted.is_set():
            self._pay_once(headers, driven)
            if time.monotonic() > until:
                break
        return driven

    def _pay_once(self, headers: dict[str, str], driven: Driven) -> None:
        began = time.monotonic()
        answer = self._initiate(headers)
        if answer is None or answer.status_code != 201:
            driven.refused[f"initiate: {_said(answer)}"] += 1
            self._interrupted.wait(_READ_EVERY_SECONDS)
            return
        driven.initiate_seconds.append(time.monotonic() - began)
        payment = answer.json()
        driven.started.append(payment["id"])
        if not self._sandbox.choose(payment["reference"], "approve"):
            driven.refused["approve: the sandbox refused"] += 1
        while payment["status"] == "pending" and time.monotonic() < began + _TIMEOUT_SECONDS:
            if self._interrupted.wait(_READ_EVERY_SECONDS):
                return
            answer = ask("GET", f"{self._shop}/{payment['id']}/status/", headers=headers)
            driven.status_reads += 1
            if answer is None or answer.status_code != 200:
                driven.refused[f"status: {_said(answer)}"] += 1
            else:
                payment = answer.json()

    def _initiate(self, headers: dict[str, str]) -> requests.Response | None:
        """Start a payment; ask again with the same key if no answer came."""
        number = next(self._numbers)
        body: dict[str, Any] = {
            "provider": _PROVIDER,
            "amount": AMOUNT,
            "phone": _PHONE.format(number % _PHONES),
            "merchant_reference": f"load-{number}",
        }
        named = headers | {"Idempotency-Key": str(uuid.uuid4())}
        for _ in range(_TRIES):
            answer = ask("POST", f"{self._shop}/initiate/", json=body, headers=named)
            if answer is not None:
                return answer
        return None


def _said(answer: requests.Response | None) -> str:
    """The status and the code of the problem, so that equal refusals are counted together."""
    if answer is None:
        return "no answer"
    code = _PROBLEM_CODE.search(answer.text)
    return f"{answer.status_code} {code[1] if code else answer.text[:200]}"
