"""The flow on its loop: real journal, real client, a wire of our own, and a clock that jumps when told to."""

from __future__ import annotations

import asyncio
import gc
import heapq
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from feexpay_client.core.api import Hooks, HttpxApi
from feexpay_client.core.flow import Flow
from feexpay_client.core.journal import Journal
from feexpay_client.core.states import Draft, Moment, Phase, State

from tests.core.server import PAYMENT_ID, Server, answer, page, payment, problem
from tests.core.waiting import until

FORM = Draft("mtn_bj", 5000, "XOF", "01 97 00 00 50")


class HandClock:
    """Time passes when `pass_time` is called, and only then."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 100.0, 1_790_000_000.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []

    def moment(self) -> Moment:
        return Moment(self.monotonic, self.wall)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.monotonic + seconds, id(woken), woken))
        await woken.wait()

    def pass_time(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds
        while self._sleepers and self._sleepers[0][0] <= self.monotonic:
            heapq.heappop(self._sleepers)[2].set()


class Stage:
    """A flow, its server, its clock, its disk, and what the screens were told."""

    def __init__(self, folder: Path) -> None:
        self.server, self.clock, self.folder = Server(), HandClock(), folder
        self.seen: list[State] = []
        self.pages: list[str] = []
        self.asked_to_sign_in = 0

    async def start(self) -> Flow:
        self.api = HttpxApi("https://shop.test", Hooks(), transport=self.server.transport())
        self.flow = Flow(
            self.api,
            Journal(self.folder / "journal", "https://shop.test", "ama"),
            open_page=self.pages.append,
            ask_sign_in=self._asked,
            clock=self.clock,
        )
        self.flow.subscribe(self.seen.append)
        await self.flow.open()
        return self.flow

    async def ready(self) -> Flow:
        flow = await self.start()
        flow.edit(FORM)
        await self.pass_until(lambda: flow.state.can_pay)
        return flow

    async def pass_until(self, condition: Callable[[], object]) -> None:
        """Let time pass until it holds."""

        def ticking() -> object:
            if condition():
                return True
            if not self.flow.state.request:
                self.clock.pass_time(1.0)
            return False

        await until(ticking)

    def _asked(self) -> None:
        self.asked_to_sign_in += 1


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Stage], Awaitable[None]]], Stage]:
    def run(act: Callable[[Stage], Awaitable[None]]) -> Stage:
        stage = Stage(tmp_path)

        async def whole() -> None:
            try:
                await act(stage)
            finally:
                await stage.flow.close()
                await stage.api.close()

        asyncio.run(whole())
        return stage

    return run


Play = Callable[[Callable[[Stage], Awaitable[None]]], Stage]


def test_two_taps_in_one_frame_are_one_request(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", answer(payment(), 201))
        flow = await stage.ready()
        flow.pay()
        assert flow.state.busy
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)

    assert len(play(act).server.sent("POST initiate/")) == 1


def test_question_that_nobody_waits_for_any_more_is_never_begun(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", answer(payment(), 201))
        flow = await stage.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)
        await flow.close()
        await stage.api.close()
        again = await stage.start()
        assert again.state.request  # and nothing of it ran yet
        await again.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        play(act)
        gc.collect()

    assert [str(warning.message) for warning in caught if "never awaited" in str(warning.message)] == []


def test_the_key_is_on_disk_when_the_request_arrives(play: Play) -> None:
    on_disk: list[bool] = []

    async def act(stage: Stage) -> None:
        def look(request: httpx.Request) -> httpx.Response:
            files = list((stage.folder / "journal").glob("*.json"))
            on_disk.append(request.headers["Idempotency-Key"] in files[0].read_text())
            return answer(payment(), 201)

        stage.server.on("POST initiate/", look)
        flow = await stage.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)

    play(act)
    assert on_disk == [True]


def test_an_unwritable_journal_means_that_nothing_is_sent(play: Play) -> None:
    async def act(stage: Stage) -> None:
        (stage.folder / "journal").write_text("in the way")
        stage.server.on("GET history/", answer(page()))  # what was open is not known here: the server is asked
        flow = await stage.start()
        await until(lambda: flow.state.phase is Phase.EDITING)
        flow.edit(FORM)
        await stage.pass_until(lambda: flow.state.can_pay)
        flow.pay()
        await until(lambda: flow.state.phase is not Phase.SUBMITTING)
        assert flow.state.notice is not None
        assert flow.state.notice.code == "journal_disk"
        assert flow.state.phase is Phase.READY

    assert play(act).server.sent("POST initiate/") == []


def test_a_session_that_ends_comes_back_to_the_same_place(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", problem(401, "not_authenticated"), answer(payment(), 201))
        flow = await stage.ready()
        flow.pay()
        await until(lambda: not flow.state.signed_in)
        assert flow.state.phase is Phase.SUBMITTING
        flow.check_now()
        flow.signed_in()
        await until(lambda: flow.state.phase is Phase.WAITING)

    stage = play(act)
    keys = {one.headers["Idempotency-Key"] for one in stage.server.sent("POST initiate/")}
    assert (stage.asked_to_sign_in, len(keys)) == (1, 1)


def test_throttled_waits_as_long_as_the_server_says_and_keeps_its_key(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", problem(429, "throttled", {"Retry-After": "40"}), answer(payment(), 201))
        flow = await stage.ready()
        flow.pay()
        await until(lambda: flow.state.notice is not None)
        stage.clock.pass_time(39)
        await asyncio.sleep(0.02)
        assert len(stage.server.sent("POST initiate/")) == 1
        await stage.pass_until(lambda: flow.state.phase is Phase.WAITING)

    keys = [one.headers["Idempotency-Key"] for one in play(act).server.sent("POST initiate/")]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_number_that_was_asked_too_often_is_told_and_not_waited_for(play: Play) -> None:
    async def act(stage: Stage) -> None:
        told = problem(429, "too_many_prompts", {"Retry-After": "3000"}, detail="Too often: in 50 minutes.")
        stage.server.on("POST initiate/", told)
        flow = await stage.ready()
        flow.pay()
        await until(lambda: flow.state.notice is not None)
        assert flow.state.phase not in (Phase.SUBMITTING, Phase.UNKNOWN)
        assert (flow.state.notice.code, flow.state.notice.message) == ("too_many_prompts", "Too often: in 50 minutes.")

    assert len(play(act).server.sent("POST initiate/")) == 1


def test_an_answer_of_garbage_is_looked_up_and_found(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", httpx.Response(200, text="<html>portal</html>"))
        stage.server.on("GET history/", answer(page(payment())))
        flow = await stage.ready()
        flow.pay()
        await stage.pass_until(lambda: flow.state.phase is Phase.WAITING)
        assert flow.state.payment is not None
        assert flow.state.payment.id == PAYMENT_ID

    stage = play(act)
    key = stage.server.sent("POST initiate/")[0].headers["Idempotency-Key"]
    assert stage.server.sent("GET history/")[0].url.params["idempotency_key"] == key


def test_polling_asks_for_news_and_survives_whatever_comes(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", answer(payment(), 201))
        stage.server.on(
            "GET status",
            answer(payment(), ETag='W/"a"'),
            httpx.Response(304),
            httpx.ReadTimeout("slow"),
            httpx.Response(500),
            httpx.Response(200, text="portal"),
            problem(503, "gateway_unavailable", {"Retry-After": "3"}),
            httpx.ConnectError("offline"),
            answer(payment("successful", "credited")),
        )
        flow = await stage.ready()
        flow.pay()
        await stage.pass_until(lambda: flow.state.phase is Phase.SUCCEEDED)

    stage = play(act)
    tags = [one.headers.get("If-None-Match", "") for one in stage.server.sent("GET /status/")]
    assert len(tags) == 8
    assert set(tags[1:]) == {'W/"a"'}
    assert {state.phase for state in stage.seen} <= {*Phase} - {Phase.FAILED}


def test_a_restart_goes_on_where_it_was(play: Play, tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", answer(payment(), 201))
        stage.server.on("GET status", answer(payment()))
        flow = await stage.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)
        await flow.close()
        again = await stage.start()
        assert again.state.phase is Phase.WAITING
        assert again.state.payment is not None
        await until(lambda: not again.state.request)
        assert len(stage.server.sent("GET /status/")) == 1, "asked at once"

    play(act)


def test_the_payment_page_opens_by_itself_once(play: Play) -> None:
    async def act(stage: Stage) -> None:
        away = payment(detail="redirect", redirect_url="https://pay.test/1")
        stage.server.on("POST initiate/", answer(away, 201))
        stage.server.on("GET status", answer(away))
        flow = await stage.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.REDIRECT)
        flow.check_now()
        await until(lambda: not flow.state.request)
        assert stage.pages == ["https://pay.test/1"]
        flow.open_page()

    assert play(act).pages == ["https://pay.test/1"] * 2


def test_a_mistake_of_ours_leaves_nobody_without_an_answer(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", answer(payment(), 201))
        stage.server.on("GET status", RuntimeError("a bug"), answer(payment("successful", "credited")))
        flow = await stage.ready()
        flow.pay()
        await stage.pass_until(lambda: flow.state.phase is Phase.SUCCEEDED)

    play(act)


def test_a_listener_may_press_buttons_and_leave(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.server.on("POST initiate/", answer(payment("failed", "refused"), 201))
        flow = await stage.ready()

        def impatient(state: State) -> None:
            if state.phase is Phase.FAILED:
                leave()
                flow.new()

        leave = flow.subscribe(impatient)
        flow.pay()
        await until(lambda: flow.state.phase is Phase.EDITING)
        leave()

    phases = [state.phase for state in play(act).seen]
    assert phases.index(Phase.FAILED) < len(phases) - 1


def test_time_left_is_told_by_the_servers_clock(play: Play) -> None:
    async def act(stage: Stage) -> None:
        stage.clock.wall = 0.0  # this device believes it is 1970
        body = payment(expires_at="2026-11-26T10:15:00.000Z")
        stage.server.on("POST initiate/", answer(body, 201, Date="Thu, 26 Nov 2026 10:05:00 GMT"))
        flow = await stage.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)
        assert flow.state.seconds_left(flow.now()) == 600
        stage.clock.pass_time(599)
        assert not flow.state.overdue(flow.now())
        stage.clock.pass_time(2)
        assert flow.state.overdue(flow.now())
        assert flow.state.seconds_left(flow.now()) == 0

    play(act)
