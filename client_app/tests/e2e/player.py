"""Run the client without its window in a process that can be killed, with real disk and sockets.

`python -m tests.e2e.player PLAN` takes its plan as JSON and prints a line for each phase, and `held:…` where it waits
to be killed.
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
    """What this run does.

    hold: where the request stops (`before`, `during`, `after`, `lost`, `offline`, or empty). on: part of that request's
    path. hold_after: how many such requests go through first. act: `pay`, `retry` (with `phone`), `fill_in` (the form
    only) or `resume`. then: phone numbers of further payments, each started when the previous one has ended.
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


def print_line(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def print_shown_result(payment: Payment | None) -> None:
    """Print the result shown; it is compared with the shop's history afterwards."""
    if payment is not None:
        print_line(f"shown:{payment.id}:{payment.status}")


class FaultyTransport(httpx.AsyncBaseTransport):
    """A transport that stops the planned request. The others go through, but after `lost` there is no network."""

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
            print_line("held:offline")
            raise httpx.ConnectError("no network")
        if held and hold == "before":
            await _hang("before")
        if held and hold == "during":
            print_line("held:during")
        answer = await self._real.handle_async_request(request)
        if held and hold in ("after", "lost"):
            await answer.aread()
            if hold == "after":
                await _hang("after")
            self._lost = True  # the network is gone from here on
            raise httpx.ReadTimeout("no answer")
        return answer


async def _hang(where: str) -> None:
    print_line(f"held:{where}")
    await asyncio.Event().wait()


class MemoryVault:
    """A vault that holds the plan's token."""

    def __init__(self, plan: Plan) -> None:
        self._secret = json.dumps({"username": "player", "token": plan.token, "expires_at": None})

    def read(self, server: str) -> str | None:
        return self._secret

    def write(self, server: str, secret: str) -> None:
        self._secret = secret

    def remove(self, server: str) -> None:
        self._secret = ""


def session_of(plan: Plan) -> Session:
    """A session with the plan's token and transport."""
    return Session(
        Path(plan.home),
        TokenStore(lambda: MemoryVault(plan)),
        defaults=Preferences(server=plan.server, language="en", country="BJ", reduced_motion=True),
        transport=FaultyTransport(plan) if plan.hold else None,
    )


async def play(plan: Plan) -> None:
    session = session_of(plan)
    assert await session.start()
    assert session.flow is not None
    ended = _watch(session.flow, plan)
    await _act(session.flow, plan, ended)
    await ended.wait()
    for phone in plan.then:
        print_shown_result(session.flow.state.ended)
        session.flow.new()
        ended.clear()
        await _pay(session.flow, replace(plan, phone=phone))
        await ended.wait()
    print_shown_result(session.flow.state.ended)
    payment = session.flow.state.payment
    print_line(f"end:{session.flow.state.phase}:{payment.id if payment else ''}")
    await session.close()


def _watch(flow: Flow, plan: Plan) -> asyncio.Event:
    """Print each phase; enter the one-time code if asked. The returned event is set at the end."""
    ended, shown = asyncio.Event(), [""]

    def on_change(state: State) -> None:
        if state.phase != shown[0]:
            shown[0] = state.phase
            print_line(state.phase)
        if state.phase is Phase.OTP and plan.otp and not state.request and not state.otp_code:
            flow.enter_otp(plan.otp)
        if state.phase is Phase.SUCCEEDED or (state.phase is Phase.FAILED and plan.act != "retry"):
            ended.set()

    flow.subscribe(on_change)
    on_change(flow.state)
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
    """Do what the plan says. Each button is pressed twice."""
    if plan.act == "fill_in":
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
        print_line("nothing open")
        ended.set()


if __name__ == "__main__":
    asyncio.run(play(Plan(**json.loads(sys.argv[1]))))
