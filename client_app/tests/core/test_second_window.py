"""Two windows on one machine: the second waits, and takes over when the first ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
from feexpay_client.core.api import FeexPayClient
from feexpay_client.core.flow import Flow
from feexpay_client.core.journal import Journal
from feexpay_client.core.states import Draft, Phase

from tests.core.fake_server import PAYMENT_ID, FakeServer, answer, payment
from tests.core.until import until

#: A process with an open payment, like a first window; it runs until it is killed.
FIRST_WINDOW = """
import sys
from pathlib import Path
from feexpay_client.core.journal import Journal
from feexpay_client.core.states import FOLLOW, Intent, Record
journal = Journal(Path(sys.argv[1]) / "journal", "https://shop.test", "ama")
journal.load()
journal.save(Record(Intent("theirs", FOLLOW, {}, 1.0, sys.argv[2])))
print("held", flush=True)
sys.stdin.read()
"""


def first_window(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", FIRST_WINDOW, str(folder), PAYMENT_ID],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()  # SIGKILL: it cannot release the lock itself
    process.communicate()


def test_second_window_takes_over_after_the_first_is_killed(tmp_path: Path) -> None:
    server = FakeServer()
    server.on("GET status", lambda _: answer(payment()))

    async def run() -> None:
        for _ in range(2):  # repeat with two new windows
            process = await asyncio.to_thread(first_window, tmp_path)
            api = FeexPayClient("https://shop.test", "t", language="fr", transport=server.transport())
            flow = Flow(api, Journal(tmp_path / "journal", "https://shop.test", "ama"))
            await flow.open()
            assert flow.state.other_window
            flow.edit(Draft("mtn_bj", 5000, "XOF", "0197000050"))
            await until(lambda flow=flow: flow.state.can_pay)
            flow.pay()
            await until(lambda flow=flow: flow.state.notice is not None)
            assert flow.state.notice.code == "journal_busy"
            assert flow.state.phase is Phase.READY

            await asyncio.to_thread(kill, process)
            flow.check_now()
            await until(lambda flow=flow: flow.state.phase is Phase.WAITING)
            assert not flow.state.other_window
            assert flow.state.payment is not None
            assert flow.state.payment.id == PAYMENT_ID
            await flow.close()
            await api.close()

    asyncio.run(run())

    assert server.sent("POST initiate/") == []


def test_etag_is_not_sent_for_an_older_copy_from_the_history(tmp_path: Path) -> None:
    """Else a 304 would leave the outdated payment on the screen."""
    server = FakeServer()
    server.on("GET status", lambda request: _answer_with_etag(request, payment("failed", "declined")))

    async def run() -> None:
        api = FeexPayClient("https://shop.test", "t", language="fr", transport=server.transport())
        flow = Flow(api, Journal(tmp_path / "journal", "https://shop.test", "ama"))
        await flow.open()
        older = _payment(payment())
        for _ in range(2):
            flow.follow(older)
            await until(lambda: flow.state.phase is Phase.FAILED)
            flow.new()
        await flow.close()
        await api.close()

    asyncio.run(run())


def test_answer_about_another_payment_is_malformed(tmp_path: Path) -> None:
    server = FakeServer()
    server.on("GET status", lambda _: answer(payment("successful", "credited", id="another")))

    async def run() -> None:
        api = FeexPayClient("https://shop.test", "t", language="fr", transport=server.transport())
        flow = Flow(api, Journal(tmp_path / "journal", "https://shop.test", "ama"))
        await flow.open()
        flow.follow(_payment(payment()))
        await until(lambda: flow.state.failures > 0)
        assert flow.state.phase is Phase.WAITING
        assert flow.state.payment is not None
        assert flow.state.payment.id == PAYMENT_ID
        await flow.close()
        await api.close()

    asyncio.run(run())


def _payment(body: dict[str, object]) -> object:
    from feexpay_client.core.models import Payment

    return Payment.from_json(body)


def _answer_with_etag(request: httpx.Request, body: dict[str, object]) -> httpx.Response:
    if request.headers.get("If-None-Match") == 'W/"1"':
        return httpx.Response(304)
    return answer(body, ETag='W/"1"')
