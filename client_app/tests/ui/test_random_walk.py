"""Payments, receipts, retries and restarts in a random order given by a seed.

After each step the window must show the result of the flow's payment, or the opened receipt, as the shop has it. A
retry must be for the payment on the screen.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from feexpay_client.core.states import OPEN, Phase
from feexpay_client.ui.screens.result import FeexPayReceipt

from tests.ui.fake_shop import FakeShop

_HEADLINES = {
    "successful": "Paiement réussi",
    "failed": "Paiement non abouti",
    "unconfirmed": "Paiement non confirmé",
    "pending": "En cours",
}
_PACKS = ("mini", "standard", "champion")
_STEPS = 60


@dataclass
class Walk:
    """`opened`: the receipt opened last. `retried`: number of retries per payment."""

    start: Callable[..., Awaitable[Any]]
    shop: FakeShop
    draw: random.Random
    d: Any = None
    opened: str = ""
    retried: Counter[str] = field(default_factory=Counter)
    did: list[str] = field(default_factory=list)

    @property
    def app(self) -> Any:
        return self.d.app

    @property
    def phase(self) -> Phase:
        return self.app.context.state.phase  # type: ignore[no-any-return]

    async def step(self) -> None:
        """Do something random that the current screen offers."""
        choices: list[Callable[[], Awaitable[None]]] = [
            self.goes_home,
            self.opens_history,
            self.opens_history,
            self.restarts,
        ]
        choices += {
            "home": [self.buys] * 8,
            "status": [self.payer_decides] * 12 + [self.leaves],
            "result": [self.tries_again] * 4 + [self.finishes] * 4 + [self.checks_again],
            "history": [self.opens_receipt] * 8,
            "receipt": [self.tries_again] * 4 + [self.goes_back] * 2 + [self.shop_decides],
            "pay": [self.pays] * 5 + [self.goes_back],
        }.get(self.app.showing, [])
        chosen = self.draw.choice(choices)
        self.did.append(f"{self.app.showing}: {chosen.__name__}")
        await chosen()
        await self.d.settle()
        self.check()

    # --- what the payer does ---

    async def goes_home(self) -> None:
        self.app.go("home")

    async def goes_back(self) -> None:
        self.app.back()

    async def leaves(self) -> None:
        self.app.leave_payment()

    async def buys(self) -> None:
        await self.d.until(lambda: self.app.home.packs)
        self.app.home.choose_pack(self.draw.choice(_PACKS))
        if self.app.showing == "pay":
            await self.pays()

    async def pays(self) -> None:
        await self.d.until(lambda: self.app.providers.tiles)
        self.app.form.choose("mtn_bj")
        self.app.form.phone = "01 97 00 00 00"
        await self.d.until(lambda: self.app.form.can_pay)
        self.app.form.pay()
        self.app.form.pay()
        await self.d.until(lambda: self.phase is Phase.WAITING)

    async def opens_history(self) -> None:
        self.app.go("history")
        await self.d.until(lambda: self.app.history.state != "loading" and not self.app.history.refreshing)

    async def opens_receipt(self) -> None:
        rows = [row["id"] for row in self.app.history.rows if "id" in row]
        if rows:
            self.opened = self.draw.choice(rows)
            self.app.open_receipt(self.opened)

    async def tries_again(self) -> None:
        """Press the retry button twice, if it is shown."""
        vm = self.app.result if self.app.showing == "result" else self.app.receipt
        before, shown = self.attempts(), vm.payment_id
        was_offered = self.d.shows("Réessayer ce paiement")
        vm.retry()
        vm.retry()
        await self.d.settle()
        await self.d.until(lambda: self.phase is not Phase.SUBMITTING)
        tried = self.attempts() - before
        assert tried <= Counter({shown: 1}), "retried another payment than the one shown"
        assert was_offered or not tried, "retried without a retry button"
        self.retried += tried

    async def finishes(self) -> None:
        self.app.finish_payment()

    async def checks_again(self) -> None:
        self.app.result.check_now()

    # --- the shop and the app ---

    async def shop_decides(self) -> None:
        """Settle the newest pending payment with a random result."""
        pending = next((p for p in self.shop.payments if p["status"] == "pending"), None)
        if pending is None:
            return
        first = self.shop.payments.index(pending)
        self.shop.payments.insert(0, self.shop.payments.pop(first))
        self.draw.choice(
            [
                self.shop.settle,
                lambda: self.shop.settle("failed", "low_balance"),
                self.shop.expire,
            ]
        )()

    async def payer_decides(self) -> None:
        await self.shop_decides()
        self.app.waiting.check_now()
        await self.d.until(lambda: self.phase not in OPEN)

    async def restarts(self) -> None:
        """Close the window and open it again with the same folder and account."""
        self.d.close()
        await self.app.close()
        self.d, self.opened = await self.start(), ""

    # --- checks ---

    def attempts(self) -> Counter[str]:
        return Counter({payment["id"]: payment["attempt_count"] for payment in self.shop.payments})

    def check(self) -> None:
        """Compare the screen with the flow and the shop."""
        state, steps = self.app.context.state, "; ".join(self.did[-8:])
        assert (self.app.showing == "result") <= (state.ended is not None), steps
        assert (self.app.showing == "status") <= (state.phase in OPEN), steps
        for receipt in self.d.walk(FeexPayReceipt):
            shown = receipt.vm.payment_id
            wanted = self.opened if self.app.showing in ("receipt", "history") else state.payment.id
            assert shown == wanted, steps
            if not receipt.vm.details_shown:  # the id is among the details, which are folded away
                receipt.vm.toggle_details()
                self.d.frames(2)
            assert shown in self.d.texts(), f"another payment id on the screen; {steps}"
            assert _HEADLINES[_shown_status(receipt.vm.shown)] in self.d.texts(), steps
            self._check_against_shop(receipt.vm.shown, steps)
        assert sum(1 for payment in self.shop.payments if payment["status"] == "pending") <= 1, steps
        for payment in self.shop.payments:
            assert payment["attempt_count"] == 1 + self.retried[payment["id"]], steps

    def _check_against_shop(self, payment: Any, steps: str) -> None:
        """A result shown must be the shop's, unless the shop is still pending."""
        there = next(one for one in self.shop.payments if one["id"] == payment.id)
        if payment.settled and there["status"] != "pending":
            assert payment.status == there["status"], steps


def _shown_status(payment: Any) -> str:
    if payment.status == "failed" and payment.detail == "expired" and not payment.can_retry:
        return "unconfirmed"
    return payment.status if payment.settled else "pending"


@pytest.mark.parametrize("seed", [2])
async def test_random_actions_show_the_right_payment(start: Any, shop: FakeShop, seed: int) -> None:
    walk = Walk(start, shop, random.Random(seed))  # noqa: S311 -- the same walk every time
    walk.d = await start()
    for _ in range(_STEPS):
        await walk.step()

    ended = Counter(payment["status"] for payment in shop.payments)
    assert len(shop.payments) >= 3, walk.did
    assert ended["successful"] >= 1, walk.did
    assert ended["failed"] + walk.retried.total() >= 1, walk.did
    assert walk.retried.total() >= 1, walk.did
    assert any("restarts" in one for one in walk.did), walk.did
    assert any("opens_receipt" in one for one in walk.did), walk.did
    print(dict(ended), "retries:", walk.retried.total(), "restarts:", sum("restarts" in one for one in walk.did))
