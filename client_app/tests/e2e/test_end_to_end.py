"""The client against the real shop, worker and sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from feexpay_client.core.states import Draft, Phase

from tests.core.waiting import until
from tests.e2e.matrix import CASES, WINDOW_CASES, run_matrix, table
from tests.e2e.place import Place, open_place
from tests.e2e.player import Plan, session_of


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with open_place(len(CASES) + len(WINDOW_CASES) + 1) as opened:
        yield opened


def test_killed_in_every_state_it_pays_once_and_forgets_nothing(place: Place) -> None:
    before = place.charges()
    rows = asyncio.run(run_matrix(place))

    shown = table(rows)
    print(shown)
    assert [row for row in rows if not row.good] == [], shown
    assert place.charges() == before + sum(case.charges for case in CASES), "a charge is in no history"


@pytest.mark.window
def test_the_whole_app_killed_while_it_pays_pays_once_and_shows_the_result(place: Place) -> None:
    rows = asyncio.run(run_matrix(place, WINDOW_CASES, first=len(CASES)))

    print(table(rows))
    assert [row for row in rows if not row.good] == [], table(rows)


def test_the_server_goes_away_while_the_payer_waits_and_comes_back(place: Place, tmp_path: Path) -> None:
    player = f"player{len(CASES) + len(WINDOW_CASES)}"

    async def pays() -> None:
        session = session_of(Plan(str(tmp_path), place.shop, place.tokens[player], "pay"))
        assert await session.start()
        flow = session.flow
        assert flow is not None
        flow.edit(Draft("mtn_bj", 1000, "XOF", "01 97 00 00 50"))
        await until(lambda: flow.state.can_pay)
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)
        await asyncio.to_thread(place.tell, "stop shop")
        flow.check_now()
        await until(lambda: not flow.state.online)
        assert flow.state.phase is Phase.WAITING
        await asyncio.to_thread(place.tell, "start shop")
        await asyncio.to_thread(place.approve, player)
        flow.check_now()
        await until(lambda: flow.state.phase is Phase.SUCCEEDED)
        assert flow.state.online
        await session.close()

    asyncio.run(pays())

    assert len(place.history(player)) == 1
    assert place.charges_of(player) == 1
