"""The event stream: how it is read, what the reducer does with it, and that polls go on without it."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from feexpay_client.core import effects as do
from feexpay_client.core import errors
from feexpay_client.core import events as ev
from feexpay_client.core.event_stream import EventParser, StreamEvent
from feexpay_client.core.json_reader import LARGEST_BODY
from feexpay_client.core.states import Phase

from tests.core.fake_server import EventStream, answer, event, payment, problem
from tests.core.simulation import Simulation
from tests.core.test_flow import FlowHarness, RunScenario, run_scenario  # noqa: F401 -- a fixture
from tests.core.test_machine import waiting
from tests.core.until import until

OPENED = b"retry: 3000\n\n"
PAID = event(payment("successful", "credited"))

# --- the bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_are_read_from_pieces_of_any_size(size: int) -> None:
    stream = b'retry: 1500\n\nid: W/"1"\ndata: {"a":\ndata: 1}\n\n:\n\r\nunknown: x\ndata:last\r\n\r\ndata: unfinished'
    parser = EventParser()

    found = [each for start in range(0, len(stream), size) for each in parser.feed(stream[start : start + size])]

    assert found == [StreamEvent('W/"1"', '{"a":\n1}'), StreamEvent('W/"1"', "last")]
    assert parser.retry_seconds == 1.5


def test_endless_event_is_refused() -> None:
    parser, line = EventParser(), b"data: " + b"x" * (LARGEST_BODY // 500) + b"\n"

    with pytest.raises(errors.MalformedAnswer):
        [parser.feed(line) for _ in range(1000)]


# --- the reducer -------------------------------------------------------------------------------------


def live() -> Simulation:
    """A payment that waits, with an open stream."""
    sim = waiting()
    sim.send(ev.StreamOpened())
    sim.push(sim.state.followed_id)
    assert sim.state.live
    return sim


def test_open_stream_makes_polls_rare_and_does_not_end_them() -> None:
    sim = live()

    assert sim.timer is not None
    assert sim.timer.after == 15.0


def test_pushed_result_ends_the_payment() -> None:
    sim = live()
    sim.settle("successful", "credited")

    sim.push(sim.state.followed_id)

    assert sim.state.phase is Phase.SUCCEEDED
    assert (sim.timer, sim.state.live, sim.state.followed_id) == (None, False, "")


def test_answer_that_is_older_than_an_event_is_ignored() -> None:
    sim = live()
    sim.send(ev.CheckPressed())
    under_way = sim.request
    assert isinstance(under_way, do.GetStatus)
    older = sim.charges[under_way.payment_id].read()
    sim.settle("successful", "credited")
    sim.push(under_way.payment_id)

    sim.send(ev.Answered(under_way.number, older))

    assert sim.state.phase is Phase.SUCCEEDED


def test_event_does_not_take_the_place_of_the_answer_to_a_code() -> None:
    sim = waiting("otp_required")
    sim.send(ev.OtpEntered("key-of-the-code", "123456"))
    sim.settle("successful", "credited")

    sim.push(sim.state.followed_id)

    assert (sim.state.phase, sim.state.request_kind, sim.state.live) == (Phase.OTP, "otp", False)
    sim.answer("answered")
    assert sim.state.phase is Phase.SUCCEEDED


def test_broken_stream_polls_at_once_and_an_ended_one_soon() -> None:
    broken, ended = live(), live()

    broken.send(ev.StreamEnded(broken=True))
    ended.send(ev.StreamEnded(broken=False))

    assert isinstance(broken.request, do.GetStatus)
    assert ended.request is None
    assert ended.timer is not None
    assert ended.timer.after == 1.0


# --- the flow ----------------------------------------------------------------------------------------


async def paying(harness: FlowHarness, *answers: object) -> None:
    harness.server.on("POST initiate/", answer(payment(), 201))
    harness.server.on("GET status", answer(payment(), ETag='W/"s1"'))
    harness.server.on("GET events", *answers)
    flow = await harness.ready()
    flow.pay()
    await until(lambda: flow.state.phase is Phase.WAITING)


def test_result_is_shown_without_a_poll(run_scenario: RunScenario) -> None:  # noqa: F811
    async def act(harness: FlowHarness) -> None:
        approved = asyncio.Event()
        await paying(harness, EventStream((OPENED, event(payment()), approved, PAID)))
        await until(lambda: harness.flow.state.live)
        approved.set()
        await until(lambda: harness.flow.state.phase is Phase.SUCCEEDED)

    harness = run_scenario(act)

    assert harness.server.sent("GET /status/") == []
    assert [request.headers["Accept"] for request in harness.server.sent("GET /events/")] == ["text/event-stream"]


def test_stream_that_breaks_is_opened_again_with_the_last_event(run_scenario: RunScenario) -> None:  # noqa: F811
    async def act(harness: FlowHarness) -> None:
        known = event(payment(), 'W/"e7"')
        breaks = EventStream((OPENED, known, httpx.ReadError("reset")))
        await paying(harness, breaks, EventStream((OPENED, PAID)))
        await until(lambda: harness.server.sent("GET /status/"))  # at once: no time has passed
        await harness.pass_until(lambda: harness.flow.state.phase is Phase.SUCCEEDED)

    harness = run_scenario(act)

    assert harness.server.sent("GET /status/")[0].headers["If-None-Match"] == 'W/"e7"'
    assert len(harness.server.sent("GET /events/")) == 2


@pytest.mark.parametrize(
    "refusal",
    [problem(406, "not_acceptable"), problem(404, "not_found"), httpx.Response(200, html="<p>Welcome to our Wi-Fi")],
    ids=["WSGI", "an older server", "a captive portal"],
)
def test_payment_is_polled_where_no_stream_is_offered(
    run_scenario: RunScenario,  # noqa: F811
    refusal: httpx.Response,
) -> None:
    async def act(harness: FlowHarness) -> None:
        await paying(harness, refusal)
        harness.server.on("GET status", *[answer(payment())] * 12, answer(payment("successful", "credited")))
        await harness.pass_until(lambda: harness.flow.state.phase is Phase.SUCCEEDED)

    harness = run_scenario(act)

    assert 1 <= len(harness.server.sent("GET /events/")) <= 2
    assert not any(state.live for state in harness.seen)


def test_full_server_is_asked_again_after_its_time(run_scenario: RunScenario) -> None:  # noqa: F811
    async def act(harness: FlowHarness) -> None:
        full = problem(429, "throttled", {"Retry-After": "30"})
        await paying(harness, full, EventStream((OPENED, PAID)))
        await until(lambda: harness.server.sent("GET /events/"))
        before = harness.clock.monotonic
        await harness.pass_until(lambda: harness.flow.state.phase is Phase.SUCCEEDED)
        assert harness.clock.monotonic - before >= 30

    run_scenario(act)


def test_event_of_another_payment_is_not_believed(run_scenario: RunScenario) -> None:  # noqa: F811
    async def act(harness: FlowHarness) -> None:
        other = event(payment("successful", "credited", id="11111111-1111-4111-8111-111111111111"))
        await paying(harness, EventStream((OPENED, other)), problem(406, "not_acceptable"))
        await harness.pass_until(lambda: len(harness.server.sent("GET /status/")) > 2)
        assert harness.flow.state.phase is Phase.WAITING

    run_scenario(act)
