"""The client against the real shop, worker and sandbox."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from feexpay_client import FeexPayClient, contract
from feexpay_client.core.states import Draft, Phase

from tests.core.until import until
from tests.desktop import open_display
from tests.desktop import until as until_seen
from tests.e2e.game_window import GameWindow, game_window
from tests.e2e.matrix import CASES, SHEET_CASES, WINDOW_CASES, run_matrix, table
from tests.e2e.player import Plan, session_of
from tests.e2e.real_server import RealServer, start_real_server

#: One player for each case, and two more.
_CASES = len(CASES) + len(WINDOW_CASES) + len(SHEET_CASES)
_RESTARTED, _IN_A_GAME = f"player{_CASES}", f"player{_CASES + 1}"


@pytest.fixture(scope="module")
def server() -> Iterator[RealServer]:
    with start_real_server(_CASES + 2) as opened:
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


@pytest.mark.window
def test_game_killed_while_its_sheet_pays_resumes_and_pays_once(server: RealServer) -> None:
    rows = asyncio.run(run_matrix(server, SHEET_CASES, first=len(CASES) + len(WINDOW_CASES)))

    print(table(rows))
    assert [row for row in rows if not row.good] == [], table(rows)


@pytest.mark.window
def test_example_game_in_a_real_window_sells_coins_and_survives_being_killed(
    server: RealServer, tmp_path: Path
) -> None:
    """Killed on the form, while it waits for the PIN, and on the receipt: each purchase is one charge."""
    with open_display() as display:

        def game() -> AbstractContextManager[GameWindow]:
            return game_window(display, server, _IN_A_GAME, tmp_path)

        with game() as window:
            window.see_game()
            window.buy()
            window.type_number("0197000050")
            window.kill()
        with game() as window:
            window.see_game()
            window.buy()
            window.type_number("0197000050")
            window.pay()
            until_seen(lambda: server.references(_IN_A_GAME), "nothing was paid", 1.0)  # the shop limits requests
            window.kill()
        with game() as window:
            window.see_sheet()
            server.approve(_IN_A_GAME)
            window.see_receipt()
            window.kill()
        with game() as window:
            window.see_sheet()
            window.see_receipt()
            window.close_receipt()
            window.see_game()
        with game() as window:
            window.see_game()

    assert [row["status"] for row in server.history(_IN_A_GAME)] == ["successful"]
    assert server.charges_of(_IN_A_GAME) == 1
    assert server.coins_of(_IN_A_GAME) == 50


def test_sample_shop_keeps_the_contract_with_the_client(
    server: RealServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payments, a wrong and an ended token, goods, balance, sign-in and sign-out."""
    whole = ["--app", "--user", "member", "--expired", server.tokens["ended"]]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{server.tokens['player0']}\n{server.password}\n"))
    assert contract.main([server.shop, "-", *whole]) == 0
    assert capsys.readouterr().out.count("ok  ") == 14

    monkeypatch.setattr("sys.stdin", io.StringIO("not the password\n"))
    usable = server.tokens["player0"]
    assert contract.main([server.shop, "wrong", "--app", "--user", "member", "--expired", usable]) == 1
    missing = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert missing == [
        "FAILED  providers",
        "FAILED  quote",
        "FAILED  history",
        "FAILED  history finds a payment by its idempotency key",
        "FAILED  answers carry the server's time",
        "FAILED  a token that has ended gets 401 and no payment",
        "FAILED  balance",
        "FAILED  sign-in",
        "FAILED  a token that ends says when, and has not ended yet",
        "FAILED  the token of the sign-in opens the payments",
        "FAILED  after the sign-out the token gets 401",
    ]


def test_contract_finds_a_sign_in_that_takes_any_password_and_a_token_that_outlives_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("auth/token/"):
            return httpx.Response(200, json={"token": "t" * 40, "expires_at": "2020-01-01T00:00:00.000Z"})
        if request.url.path.endswith("shop/packs/"):
            pack = {"code": "mini", "name": "Mini", "coins": 50, "price": 0, "currency": "XOF", "metadata": {}}
            return httpx.Response(200, json=[pack])
        return httpx.Response(200, json={"results": [], "next": None, "previous": None})

    def client(token: str) -> FeexPayClient:
        return FeexPayClient("https://shop.example", token, transport=httpx.MockTransport(careless))

    account = contract.Account("awa", "secret")
    found = asyncio.run(contract.check(client, "t", app=True, account=account))
    problems = {finding.requirement: finding.problem for finding in found if finding.problem}

    assert problems["a wrong token gets 401 and no payment"] == "MalformedAnswer the history was shown"
    assert (
        "no price in a currency: mini"
        in problems["goods, without a token: code, name, coins, price, currency, metadata"]
    )
    assert problems["a token that ends says when, and has not ended yet"] == "MalformedAnswer expires_at is past"
    assert problems["a wrong password gets 400 or 401 and no token"] == "MalformedAnswer it got a token"
    assert problems["after the sign-out the token gets 401"] == "MalformedAnswer the history was shown"
    assert "secret" not in repr(account)


def test_payment_completes_after_a_server_restart(server: RealServer, tmp_path: Path) -> None:
    async def pay() -> None:
        session = session_of(Plan(str(tmp_path), server.shop, server.tokens[_RESTARTED], "pay"))
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
        await asyncio.to_thread(server.approve, _RESTARTED)
        flow.check_now()
        await until(lambda: flow.state.phase is Phase.SUCCEEDED)
        assert flow.state.online
        await session.close()

    asyncio.run(pay())

    assert len(server.history(_RESTARTED)) == 1
    assert server.charges_of(_RESTARTED) == 1
