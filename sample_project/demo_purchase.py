"""One purchase by HTTP, from signing in to receiving the coins; each step is printed.

The player uses the shop's API, the payer types a PIN on the sandbox's page. The database is read only to
count credits.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo_http import ask, events, wait_for
from demo_processes import DemoError

PROVIDER = "mtn_bj"
PHONE = "01 97 00 00 50"  # a number with this ending waits for an approval on the page of the sandbox
PIN = "1234"
_SHOWN = ("id", "status", "detail", "provider_name", "amount", "currency", "phone", "reference", "next_poll_seconds")


@dataclass(frozen=True)
class Target:
    """Addresses and the player's account. URLs have no slash at the end."""

    shop: str
    sandbox: str
    username: str
    password: str = field(repr=False)
    database: Path


@dataclass(frozen=True)
class Outcome:
    """Rows of Credit, charges at the sandbox, and seconds from signing in to the coins."""

    credited: int
    charges: int
    seconds: float


class Purchase:
    """One purchase. Each step prints what it got and when, and raises DemoError if that is wrong."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._began_at = time.monotonic()
        self._token = ""

    def run(self) -> Outcome:
        self._sign_in()
        pack = self._choose_pack()
        self._quote_in_dollars()
        before = self._balance()["coins"]
        self._say(f"balance: {before} coins")
        payment = self._initiate(pack)
        screen = events(f"{self._target.shop}/api/v1/payments/feexpay/{payment['id']}/events/", token=self._token)
        self._approve(payment)
        self._see_the_result(screen)
        after = self._await_coins(payment, before + pack["coins"])
        seconds = self._seconds()
        self._receipt(payment, pack, after)
        self._send_webhook_again(payment)
        return self._count(payment, pack, before, seconds)

    def _sign_in(self) -> None:
        who = {"username": self._target.username, "password": self._target.password}
        self._token = ask("POST", f"{self._target.shop}/api/v1/auth/token/", body=who).expect(200)["token"]
        self._say(f"signed in as {self._target.username}")

    def _choose_pack(self) -> dict[str, Any]:
        packs = self._get("/api/v1/shop/packs/")
        self._say("packs: " + ", ".join(f"{pack['name']} {_francs(pack['price'])}" for pack in packs))
        best: dict[str, Any] = max(packs, key=lambda pack: pack["coins"] / pack["price"])
        self._say(f"chosen: {best['name']}, {best['coins']} coins for {_francs(best['price'])}")
        return best

    def _quote_in_dollars(self) -> None:
        quoted = self._get(f"/api/v1/payments/feexpay/quote/?provider={PROVIDER}&amount=500&currency=USD")
        total, rate = _francs(quoted["total"]), quoted["exchange_rate"]
        self._say(f"a price in dollars: 5.00 USD are {total} at a rate of {rate}")

    def _initiate(self, pack: dict[str, Any]) -> dict[str, Any]:
        """Start the payment; the gateway must accept it and prompt the payer."""
        order = {"provider": PROVIDER, "amount": pack["price"], "phone": PHONE, "metadata": pack["metadata"]}
        answer = ask(
            "POST",
            f"{self._target.shop}/api/v1/payments/feexpay/initiate/",
            token=self._token,
            body=order,
            idempotency_key=str(uuid.uuid4()),
        )
        payment: dict[str, Any] = answer.expect(201)
        self._say(f"initiate answered 201: {json.dumps({name: payment[name] for name in _SHOWN}, ensure_ascii=False)}")
        return payment

    def _approve(self, payment: dict[str, Any]) -> None:
        """Act as the payer: read the prompt and type the PIN."""
        reference = payment["reference"]
        prompt = wait_for("the prompt on the payer's phone", lambda: self._at_sandbox(reference, prompts=1))
        self._say(f"the payer's phone {prompt['msisdn']} asks: pay {_francs(prompt['amount'])}?")
        choice = {"choice": "approve", "pin": PIN}
        ask("POST", f"{self._target.sandbox}/phone/{reference}", form=choice).expect(303)
        self._say("the payer typed the PIN: approved")

    def _see_the_result(self, screen: Iterator[dict[str, Any]]) -> None:
        """Read the payer's event stream until it shows the result."""
        approved_at = time.monotonic()
        seen = next((payment for payment in screen if payment["status"] != "pending"), None)
        if seen is None or seen["detail"] != "credited":
            raise DemoError(f"the event stream ended without the credit: {seen}")
        self._say(f"the payer's screen shows it {time.monotonic() - approved_at:.1f} s after the PIN: {seen['detail']}")

    def _await_coins(self, payment: dict[str, Any], expected: int) -> dict[str, Any]:
        reference = payment["reference"]
        wait_for("the webhook", lambda: self._at_sandbox(reference, delivered=1))
        self._say("the webhook came, signed, and was answered 200")
        balance = wait_for("the coins", lambda: _with_coins(self._balance(), expected))
        self._say(f"credited: the balance is {balance['coins']} coins")
        return balance

    def _receipt(self, payment: dict[str, Any], pack: dict[str, Any], balance: dict[str, Any]) -> None:
        settled = self._get(f"/api/v1/payments/feexpay/{payment['id']}/status/")
        if (settled["status"], settled["detail"]) != ("successful", "credited"):
            raise DemoError(
                f"coins were given, but the status of the payment is {settled['status']} / {settled['detail']}"
            )
        lines = {
            "amount": _francs(settled["charged_amount"]),
            "provider": settled["provider_name"],
            "phone": settled["phone"],
            "reference": settled["reference"],
            "coins": f"+{pack['coins']} ({pack['name']})",
            "balance": f"{balance['coins']} coins",
        }
        _write("\n  receipt\n" + "".join(f"    {name:<10}{value}\n" for name, value in lines.items()))

    def _send_webhook_again(self, payment: dict[str, Any]) -> None:
        """Send the webhook again: it must not credit twice."""
        reference = payment["reference"]
        ask("POST", f"{self._target.sandbox}/control/payments/{reference}/resend").expect(200)
        wait_for("the second webhook", lambda: self._at_sandbox(reference, delivered=2))
        self._say("the same webhook came a second time")

    def _count(self, payment: dict[str, Any], pack: dict[str, Any], before: int, seconds: float) -> Outcome:
        """Count credits, the shop's coin entries and the gateway's charges."""
        balance = self._balance()
        entries = [entry["coins"] for entry in balance["entries"] if entry["payment_id"] == payment["id"]]
        if entries != [pack["coins"]] or balance["coins"] != before + pack["coins"]:
            raise DemoError(f"the coins were not given exactly once: entries {entries}, balance {balance['coins']}")
        seen = ask("GET", f"{self._target.sandbox}/control/payments").expect(200)
        return Outcome(_credits(self._target.database), seen["charges"], seconds)

    def _at_sandbox(self, reference: str, *, prompts: int = 0, delivered: int = 0) -> dict[str, Any] | None:
        """The sandbox's record of the payment, or None before that many prompts and delivered webhooks."""
        answer = ask("GET", f"{self._target.sandbox}/control/payments/{reference}")
        if answer.status == 404:
            return None
        seen: dict[str, Any] = answer.expect(200)
        arrived = sum(webhook["delivered"] for webhook in seen["webhooks"])
        return seen if seen["prompts"] >= prompts and arrived >= delivered else None

    def _balance(self) -> dict[str, Any]:
        balance: dict[str, Any] = self._get("/api/v1/shop/balance/")
        return balance

    def _get(self, path: str) -> Any:
        return ask("GET", f"{self._target.shop}{path}", token=self._token).expect(200)

    def _seconds(self) -> float:
        return time.monotonic() - self._began_at

    def _say(self, text: str) -> None:
        _write(f"[{self._seconds():5.2f} s] {text}\n")


def _with_coins(balance: dict[str, Any], expected: int) -> dict[str, Any] | None:
    return balance if balance["coins"] >= expected else None


def _credits(database: Path) -> int:
    """The number of all credits; the database was empty before the demo."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        row: tuple[int] = connection.execute("SELECT count(*) FROM feexpay_credit").fetchone()
    return row[0]


def _francs(amount: int) -> str:
    return f"{amount:,} F CFA".replace(",", " ")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
