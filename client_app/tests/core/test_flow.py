"""The flow with a real journal and API client, a fake server and a manual clock."""

from __future__ import annotations

import asyncio
import gc
import heapq
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from feexpay_client.core.api import FeexPayClient
from feexpay_client.core.flow import Flow
from feexpay_client.core.journal import Journal
from feexpay_client.core.states import Draft, Moment, Phase, State

from tests.core.fake_server import PAYMENT_ID, FakeServer, answer, page, payment, problem
from tests.core.until import until

FORM = Draft("mtn_bj", 5000, "XOF", "01 97 00 00 50")


class ManualClock:
    """A clock that only `pass_time` advances."""

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


class FlowHarness:
    """A flow with its server, clock and folder; `seen` collects its states."""

    def __init__(self, folder: Path) -> None:
        self.server, self.clock, self.folder = FakeServer(), ManualClock(), folder
        self.seen: list[State] = []
        self.pages: list[str] = []
        self.asked_to_sign_in = 0
        self.opens = True

    async def start(self) -> Flow:
        self.api = FeexPayClient("https://shop.test", transport=self.server.transport())
        self.flow = Flow(
            self.api,
            Journal(self.folder / "journal", "https://shop.test", "ama"),
            open_page=self._open,
            ask_sign_in=self._ask_sign_in,
            clock=self.clock,
        )
        self.flow.subscribe(self.seen.append)
        await self.flow.open()
        return self.flow

    def _open(self, url: str) -> bool:
        self.pages.append(url)
        return self.opens

    async def ready(self) -> Flow:
        flow = await self.start()
        flow.edit(FORM)
        await self.pass_until(lambda: flow.state.can_pay)
        return flow

    async def pass_until(self, condition: Callable[[], object]) -> None:
        """Advance the clock until the condition is true."""

        def ticking() -> object:
            if condition():
                return True
            if not self.flow.state.request:
                self.clock.pass_time(1.0)
            return False

        await until(ticking)

    def _ask_sign_in(self) -> None:
        self.asked_to_sign_in += 1


@pytest.fixture
def run_scenario(tmp_path: Path) -> Callable[[Callable[[FlowHarness], Awaitable[None]]], FlowHarness]:
    def run(act: Callable[[FlowHarness], Awaitable[None]]) -> FlowHarness:
        harness = FlowHarness(tmp_path)

        async def run_and_close() -> None:
            try:
                await act(harness)
            finally:
                await harness.flow.close()
                await harness.api.close()

        asyncio.run(run_and_close())
        return harness

    return run


RunScenario = Callable[[Callable[[FlowHarness], Awaitable[None]]], FlowHarness]


def test_two_taps_in_one_frame_are_one_request(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", answer(payment(), 201))
        flow = await harness.ready()
        flow.pay()
        assert flow.state.busy
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)

    assert len(run_scenario(act).server.sent("POST initiate/")) == 1


def test_cancelled_request_leaves_no_unawaited_coroutine(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", answer(payment(), 201))
        flow = await harness.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)
        await flow.close()
        await harness.api.close()
        again = await harness.start()
        assert again.state.request  # the request has not run yet
        await again.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_scenario(act)
        gc.collect()

    assert [str(warning.message) for warning in caught if "never awaited" in str(warning.message)] == []


def test_key_is_on_disk_when_the_request_arrives(run_scenario: RunScenario) -> None:
    on_disk: list[bool] = []

    async def act(harness: FlowHarness) -> None:
        def record_disk(request: httpx.Request) -> httpx.Response:
            files = list((harness.folder / "journal").glob("*.json"))
            on_disk.append(request.headers["Idempotency-Key"] in files[0].read_text())
            return answer(payment(), 201)

        harness.server.on("POST initiate/", record_disk)
        flow = await harness.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)

    run_scenario(act)
    assert on_disk == [True]


def test_unwritable_journal_sends_nothing(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        (harness.folder / "journal").write_text("in the way")
        harness.server.on("GET history/", answer(page()))  # the journal is unreadable: the server is asked
        flow = await harness.start()
        await until(lambda: flow.state.phase is Phase.EDITING)
        flow.edit(FORM)
        await harness.pass_until(lambda: flow.state.can_pay)
        flow.pay()
        await until(lambda: flow.state.phase is not Phase.SUBMITTING)
        assert flow.state.notice is not None
        assert flow.state.notice.code == "journal_disk"
        assert flow.state.phase is Phase.READY

    assert run_scenario(act).server.sent("POST initiate/") == []


def test_payment_continues_after_signing_in_again(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", problem(401, "not_authenticated"), answer(payment(), 201))
        flow = await harness.ready()
        flow.pay()
        await until(lambda: not flow.state.signed_in)
        assert flow.state.phase is Phase.SUBMITTING
        flow.check_now()
        flow.signed_in()
        await until(lambda: flow.state.phase is Phase.WAITING)

    harness = run_scenario(act)
    keys = {one.headers["Idempotency-Key"] for one in harness.server.sent("POST initiate/")}
    assert (harness.asked_to_sign_in, len(keys)) == (1, 1)


def test_throttled_request_waits_for_retry_after_and_keeps_its_key(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", problem(429, "throttled", {"Retry-After": "40"}), answer(payment(), 201))
        flow = await harness.ready()
        flow.pay()
        await until(lambda: flow.state.notice is not None)
        harness.clock.pass_time(39)
        await asyncio.sleep(0.02)
        assert len(harness.server.sent("POST initiate/")) == 1
        await harness.pass_until(lambda: flow.state.phase is Phase.WAITING)

    keys = [one.headers["Idempotency-Key"] for one in run_scenario(act).server.sent("POST initiate/")]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_too_many_prompts_is_shown_and_not_sent_again(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        refusal = problem(429, "too_many_prompts", {"Retry-After": "3000"}, detail="Too often: in 50 minutes.")
        harness.server.on("POST initiate/", refusal)
        flow = await harness.ready()
        flow.pay()
        await until(lambda: flow.state.notice is not None)
        assert flow.state.phase not in (Phase.SUBMITTING, Phase.UNKNOWN)
        assert (flow.state.notice.code, flow.state.notice.message) == ("too_many_prompts", "Too often: in 50 minutes.")

    assert len(run_scenario(act).server.sent("POST initiate/")) == 1


def test_malformed_answer_leads_to_a_search_of_the_history(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", httpx.Response(200, text="<html>portal</html>"))
        harness.server.on("GET history/", answer(page(payment())))
        flow = await harness.ready()
        flow.pay()
        await harness.pass_until(lambda: flow.state.phase is Phase.WAITING)
        assert flow.state.payment is not None
        assert flow.state.payment.id == PAYMENT_ID

    harness = run_scenario(act)
    key = harness.server.sent("POST initiate/")[0].headers["Idempotency-Key"]
    assert harness.server.sent("GET history/")[0].url.params["idempotency_key"] == key


def test_polling_survives_every_error(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", answer(payment(), 201))
        harness.server.on(
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
        flow = await harness.ready()
        flow.pay()
        await harness.pass_until(lambda: flow.state.phase is Phase.SUCCEEDED)

    harness = run_scenario(act)
    tags = [one.headers.get("If-None-Match", "") for one in harness.server.sent("GET /status/")]
    assert len(tags) == 8
    assert set(tags[1:]) == {'W/"a"'}
    assert {state.phase for state in harness.seen} <= {*Phase} - {Phase.FAILED}


def test_a_restart_continues_the_payment(run_scenario: RunScenario, tmp_path: Path) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", answer(payment(), 201))
        harness.server.on("GET status", answer(payment()))
        flow = await harness.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)
        await flow.close()
        again = await harness.start()
        assert again.state.phase is Phase.WAITING
        assert again.state.payment is not None
        await until(lambda: not again.state.request)
        assert len(harness.server.sent("GET /status/")) == 1, "polled at once"

    run_scenario(act)


def test_the_payment_page_opens_by_itself_once(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        away = payment(detail="redirect", redirect_url="https://pay.test/1")
        harness.server.on("POST initiate/", answer(away, 201))
        harness.server.on("GET status", answer(away))
        flow = await harness.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.REDIRECT)
        flow.check_now()
        await until(lambda: not flow.state.request)
        assert harness.pages == ["https://pay.test/1"]
        flow.open_page()

    assert run_scenario(act).pages == ["https://pay.test/1"] * 2


def test_a_page_that_nothing_opened_is_reported_until_the_next_try(run_scenario: RunScenario) -> None:
    async def body(h: FlowHarness) -> None:
        h.opens = False
        away = payment(detail="redirect", redirect_url="https://pay.test/1")
        h.server.on("POST initiate/", answer(away, 201))
        h.server.on("GET status", answer(away))
        flow = await h.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.REDIRECT and not flow.state.page_opened)

        h.opens = True
        flow.open_page()
        assert flow.state.page_opened
        assert h.pages == ["https://pay.test/1"] * 2

    run_scenario(body)


def test_polling_continues_after_a_bug(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", answer(payment(), 201))
        harness.server.on("GET status", RuntimeError("a bug"), answer(payment("successful", "credited")))
        flow = await harness.ready()
        flow.pay()
        await harness.pass_until(lambda: flow.state.phase is Phase.SUCCEEDED)

    run_scenario(act)


def test_a_listener_may_call_the_flow_and_unsubscribe(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.server.on("POST initiate/", answer(payment("failed", "refused"), 201))
        flow = await harness.ready()

        def start_over(state: State) -> None:
            if state.phase is Phase.FAILED:
                leave()
                flow.new()

        leave = flow.subscribe(start_over)
        flow.pay()
        await until(lambda: flow.state.phase is Phase.EDITING)
        leave()

    phases = [state.phase for state in run_scenario(act).seen]
    assert phases.index(Phase.FAILED) < len(phases) - 1


def test_time_left_uses_the_servers_clock(run_scenario: RunScenario) -> None:
    async def act(harness: FlowHarness) -> None:
        harness.clock.wall = 0.0  # this device believes it is 1970
        body = payment(expires_at="2026-11-26T10:15:00.000Z")
        harness.server.on("POST initiate/", answer(body, 201, Date="Thu, 26 Nov 2026 10:05:00 GMT"))
        flow = await harness.ready()
        flow.pay()
        await until(lambda: flow.state.phase is Phase.WAITING)
        assert flow.state.seconds_left(flow.now()) == 600
        harness.clock.pass_time(599)
        assert not flow.state.overdue(flow.now())
        harness.clock.pass_time(2)
        assert flow.state.overdue(flow.now())
        assert flow.state.seconds_left(flow.now()) == 0

    run_scenario(act)
