"""From signing in to a paid payment, over the wire shapes of the interface."""

from __future__ import annotations

import asyncio
from pathlib import Path

from feexpay_client.core.session import Session
from feexpay_client.core.states import Draft, Phase
from feexpay_client.core.tokens import TokenStore

from tests.core.server import Server, answer, payment
from tests.core.waiting import until


async def _pays(folder: Path) -> None:
    server = Server()
    server.on("POST initiate/", lambda _: answer(payment(), 201))
    server.on("GET status", answer(payment()), answer(payment("successful", "credited")))
    session = Session(folder, TokenStore(None), transport=server.transport())
    await session.sign_in("https://shop.test", "ama", "secret")
    assert session.flow is not None
    flow = session.flow
    flow.edit(Draft("mtn_bj", 5000, "XOF", "01 97 00 00 50"))
    await until(lambda: flow.state.phase is Phase.READY)
    flow.pay()
    flow.pay()
    assert flow.state.phase is Phase.SUBMITTING
    await until(lambda: flow.state.phase is Phase.WAITING)
    flow.check_now()
    await until(lambda: not flow.state.request)
    flow.check_now()
    await until(lambda: flow.state.phase is Phase.SUCCEEDED)

    assert len(server.sent("POST initiate/")) == 1
    sent = server.sent("POST initiate/")[0]
    assert sent.headers["Authorization"] == "Bearer secret-token"
    assert sent.headers["Idempotency-Key"]
    await session.close()


def test_from_signing_in_to_paid(tmp_path: Path) -> None:
    asyncio.run(_pays(tmp_path))
