"""The client against the real shop, worker and sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from feexpay_client.core.states import Draft, Phase

from tests.core.until import until
from tests.e2e.matrix import CASES, WINDOW_CASES, run_matrix, table
from tests.e2e.player import Plan, session_of
from tests.e2e.real_server import RealServer, start_real_server


@pytest.fixture(scope="module")
def server() -> Iterator[RealServer]:
    with start_real_server(len(CASES) + len(WINDOW_CASES) + 1) as opened:
        yield opened


def test_client_killed_in_every_state_pays_once_and_forgets_nothing(server: RealServer) -> None:
    before = server.charges()
    rows = asyncio.run(run_matrix(server))

    shown = table(rows)
    print(shown)
    assert [row for row in rows if not row.good] == [], shown
    assert server.charges() == before + sum(case.charges for case in CASES), "a charge is in no history"


@pytest.mark.window
def test_window_killed_while_paying_pays_once_and_shows_the_result(server: RealServer) -> None:
    rows = asyncio.run(run_matrix(server, WINDOW_CASES, first=len(CASES)))

    print(table(rows))
    assert [row for row in rows if not row.good] == [], table(rows)


def test_payment_completes_after_a_server_restart(server: RealServer, tmp_path: Path) -> None:
    player = f"player{len(CASES) + len(WINDOW_CASES)}"

    async def pay() -> None:
        session = session_of(Plan(str(tmp_path), server.shop, server.tokens[player], "pay"))
        assert await session.start()
        flow = session.flow
        assert flow is not None
        flow.edit(Draft("mtn_bj", 1000, "XOF", "01 97 00 00 50"))
        await until(lambda: flow.state.can_pay)
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)
        await asyncio.to_thread(server.command, "stop shop")
        flow.check_now()
        await until(lambda: not flow.state.online)
        assert flow.state.phase is Phase.WAITING
        await asyncio.to_thread(server.command, "start shop")
        await asyncio.to_thread(server.approve, player)
        flow.check_now()
        await until(lambda: flow.state.phase is Phase.SUCCEEDED)
        assert flow.state.online
        await session.close()

    asyncio.run(pay())

    assert len(server.history(player)) == 1
    assert server.charges_of(player) == 1
