"""A session from sign-in to a paid payment."""

from __future__ import annotations

import asyncio
from pathlib import Path

from feexpay_client.core.session import Session
from feexpay_client.core.states import Draft, Phase
from feexpay_client.core.tokens import TokenStore

from tests.core.fake_server import FakeServer, answer, payment
from tests.core.until import until


async def _sign_in_and_pay(folder: Path) -> None:
    server = FakeServer()
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


async def _sign_in_as(session: Session, name: str) -> None:
    await session.sign_in("https://shop.test", name, "secret")


def test_number_of_one_payer_is_not_shown_to_the_next(tmp_path: Path) -> None:
    async def body() -> None:
        session = Session(tmp_path, TokenStore(None), transport=FakeServer().transport(), return_path="/return/app/")
        await _sign_in_as(session, "ama")
        session.preferences.change(phone="+2290197000050", provider="mtn_bj")
        await _sign_in_as(session, "ama")
        assert session.preferences.value.phone == "+2290197000050"
        assert "97000050" not in repr(session.preferences.value)
        await _sign_in_as(session, "kofi")
        assert (session.preferences.value.phone, session.preferences.value.provider) == ("", "")
        session.preferences.change(phone="+2290197000051")
        await session.sign_out()
        assert session.preferences.value.phone == ""
        assert session.return_url == "https://shop.test/return/app/"
        await session.close()

    asyncio.run(body())


def test_session_signs_in_and_pays_once(tmp_path: Path) -> None:
    asyncio.run(_sign_in_and_pay(tmp_path))
