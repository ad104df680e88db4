"""Pay without a window: `PaymentFlow`, for apps that draw their own screens.

    async with PaymentFlow(FeexPayClient("https://shop.example", token=token), folder, account="ama") as flow:
        purchase = Purchase(1000, "XOF", "220 coins", {"pack": "mini"})
        flow.prepare(purchase, "mtn_bj", "0197000000")
        await flow.until(lambda state: state.can_pay)      # the quote has come: show state.quote.total
        flow.pay()
        state = await flow.until(lambda state: state.phase in SETTLED)

The docstring of `feexpay_client.core` says which screen belongs to which `state.phase`, and which method to call there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from feexpay_client.core.api import FeexPayClient
from feexpay_client.core.flow import Clock, Flow
from feexpay_client.core.journal import Journal
from feexpay_client.core.purchase import Purchase
from feexpay_client.core.states import FORM, OPEN, SETTLED, Phase, State

__all__ = ["FORM", "OPEN", "SETTLED", "PaymentFlow", "Phase", "Purchase", "State"]


class PaymentFlow(Flow):
    """One payer's payments on one server, with a journal in `folder`.

    A flow that was killed continues: open one with the same folder, server and account, and look at `state.phase`. If
    several players use one device, give each an `account`, or one would find the other's open payment.
    open_page: opens the operator's page. ask_sign_in: the token was refused; get a new one, then call `signed_in()`.
    """

    def __init__(
        self,
        api: FeexPayClient,
        folder: Path | str,
        account: str = "",
        *,
        open_page: Callable[[str], None] = lambda url: None,
        ask_sign_in: Callable[[], object] = lambda: None,
        clock: Clock | None = None,
        random_source: random.Random | None = None,
    ) -> None:
        super().__init__(
            api,
            Journal(Path(folder), api.base_url, account),
            open_page=open_page,
            ask_sign_in=ask_sign_in,
            clock=clock,
            random_source=random_source,
        )

    async def __aenter__(self) -> PaymentFlow:
        await self.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def prepare(self, purchase: Purchase, provider: str, phone: str = "", otp: str = "") -> None:
        """Fill in the form for a purchase, and request its quote."""
        self.edit(purchase.draft(provider, phone, otp))

    async def until(self, condition: Callable[[State], bool]) -> State:
        """Wait for a state in which the condition is true, and return it."""
        found: asyncio.Future[State] = asyncio.get_running_loop().create_future()

        def look(state: State) -> None:
            if condition(state) and not found.done():
                found.set_result(state)

        stop = self.subscribe(look)
        try:
            look(self.state)
            return await found
        finally:
            stop()
