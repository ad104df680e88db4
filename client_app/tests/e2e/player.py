"""One run of the client without its window, in a process that can be killed: the real core, disk and sockets.

`python -m tests.e2e.player PLAN` takes its plan as JSON and says what it sees, a word a line: each phase, and `held:…`
where the wire is held so that it can be killed there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
from feexpay_client.core.flow import Flow
from feexpay_client.core.models import Payment
from feexpay_client.core.preferences import Preferences
from feexpay_client.core.session import Session
from feexpay_client.core.states import FORM, Draft, Phase, State
from feexpay_client.core.tokens import TokenStore


@dataclass(frozen=True)
class Plan:
    """What this run does. hold: where the wire stops (`before`, `during`, `after`, `lost`, `offline`, empty).

    act: `pay`, `retry` (with `phone`), `look` (fill in, press nothing) or `resume`. on: the call that is held, once
    it went through `hold_after` times. then: the numbers of further payments, each made when the last one has ended.
    """

    home: str
    server: str
    token: str
    act: str
    provider: str = "mtn_bj"
    amount: int = 1000
    phone: str = "01 97 00 00 00"
    otp: str = ""
    hold: str = ""
    on: str = "initiate/"
    hold_after: int = 0
    then: tuple[str, ...] = ()

    def as_argument(self) -> str:
        return json.dumps(asdict(self))


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def say_shown(payment: Payment | None) -> None:
    """Which end is shown, of which payment: held against the shop's history afterwards."""
    if payment is not None:
        say(f"shown:{payment.id}:{payment.status}")


class HeldWire(httpx.AsyncBaseTransport):
    """The network of a poor connection: the held call stops where the plan says, everything else goes through."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._real = httpx.AsyncHTTPTransport()
        self._lost = False
        self._seen = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        held = request.method == "POST" and self._plan.on in request.url.path
        self._seen += held
        held = held and self._seen > self._plan.hold_after
        hold = self._plan.hold
        if self._lost or (held and hold == "offline"):
            say("held:offline")
            raise httpx.ConnectError("no network")
        if held and hold == "before":
            await _for_ever("before")
        if held and hold == "during":
            say("held:during")
        answer = await self._real.handle_async_request(request)
        if held and hold in ("after", "lost"):
            await answer.aread()
            if hold == "after":
                await _for_ever("after")
            self._lost = True  # the network is gone from here on
            raise httpx.ReadTimeout("no answer")
        return answer


async def _for_ever(where: str) -> None:
    say(f"held:{where}")
    await asyncio.Event().wait()


class MemoryVault:
    """The keyring of this player: the token of the plan."""

    def __init__(self, plan: Plan) -> None:
        self._secret = json.dumps({"username": "player", "token": plan.token, "expires_at": None})

    def read(self, server: str) -> str | None:
        return self._secret

    def write(self, server: str, secret: str) -> None:
        self._secret = secret

    def remove(self, server: str) -> None:
        self._secret = ""


def session_of(plan: Plan) -> Session:
    """The app's own session, with the plan's token in its keyring and the plan's wire."""
    return Session(
        Path(plan.home),
        TokenStore(lambda: MemoryVault(plan)),
        defaults=Preferences(server=plan.server, language="en", country="BJ", reduced_motion=True),
        transport=HeldWire(plan) if plan.hold else None,
    )


async def play(plan: Plan) -> None:
    session = session_of(plan)
    assert await session.start()
    assert session.flow is not None
    ended = _watch(session.flow, plan)
    await _act(session.flow, plan, ended)
    await ended.wait()
    for phone in plan.then:
        say_shown(session.flow.state.ended)
        session.flow.new()
        ended.clear()
        await _pay(session.flow, replace(plan, phone=phone))
        await ended.wait()
    say_shown(session.flow.state.ended)
    payment = session.flow.state.payment
    say(f"end:{session.flow.state.phase}:{payment.id if payment else ''}")
    await session.close()


def _watch(flow: Flow, plan: Plan) -> asyncio.Event:
    """Say each phase; enter the code where one is wanted. Returns what is set at the end."""
    ended, shown = asyncio.Event(), [""]

    def see(state: State) -> None:
        if state.phase != shown[0]:
            shown[0] = state.phase
            say(state.phase)
        if state.phase is Phase.OTP and plan.otp and not state.request and not state.otp_code:
            flow.enter_otp(plan.otp)
        if state.phase is Phase.SUCCEEDED or (state.phase is Phase.FAILED and plan.act != "retry"):
            ended.set()

    flow.subscribe(see)
    see(flow.state)
    return ended


async def _fill_in(flow: Flow, plan: Plan) -> None:
    flow.edit(Draft(plan.provider, plan.amount, "XOF", plan.phone))
    while not flow.state.can_pay:
        await asyncio.sleep(0.01)


async def _pay(flow: Flow, plan: Plan) -> None:
    await _fill_in(flow, plan)
    flow.pay()
    flow.pay()


async def _act(flow: Flow, plan: Plan, ended: asyncio.Event) -> None:
    """What the payer does. Each press twice: fingers bounce."""
    if plan.act == "look":
        await _fill_in(flow, plan)
    if plan.act == "pay":
        await _pay(flow, plan)
    if plan.act == "retry":
        while not flow.state.can_retry:
            await asyncio.sleep(0.01)
        assert flow.state.payment is not None
        for _ in range(2):
            flow.retry(flow.state.payment.id, plan.phone)
    if plan.act == "resume" and flow.state.phase in FORM:
        say("nothing open")
        ended.set()


if __name__ == "__main__":
    asyncio.run(play(Plan(**json.loads(sys.argv[1]))))
