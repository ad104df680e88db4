"""The streams of one process: what a reader gets, what its hub hears, and what happens when a part fails."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import OperationalError, connection, connections, transaction
from django.http import StreamingHttpResponse
from django.test import AsyncRequestFactory

from django_feexpay.api.outputs import payment_body
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import PublicStatus, Status
from django_feexpay.live_status import hub, listeners, snapshots, stream, streaming
from django_feexpay.models import Payment
from django_feexpay.models.payment import read_payments
from django_feexpay.payments import ledger
from django_feexpay.payments.change_notices import CHANNEL, announce
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.reconcile import reconcile
from tests.api.caller import Caller
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway

pytestmark = pytest.mark.django_db(transaction=True)

#: A test that waits longer has failed.
_SECONDS = 60


@pytest.fixture
def payment(caller: Caller, gateway: ModelGateway) -> Payment:
    return Payment.objects.get(pk=caller.initiate().json()["id"])


def open_stream(payment: Payment) -> StreamingHttpResponse:
    response = stream(AsyncRequestFactory().get("/"), read_payments().get(pk=payment.pk), payment_body)
    assert isinstance(response, StreamingHttpResponse)
    return response


async def blocks(response: StreamingHttpResponse) -> AsyncIterator[dict[str, str]]:
    """The blocks of a stream, as their fields."""
    async with asyncio.timeout(_SECONDS):
        async for part in response:
            fields = (line.partition(":") for line in part.decode().strip().split("\n"))
            yield {name: value.strip() for name, _, value in fields}


async def in_thread(work: Callable[[], object]) -> None:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    await asyncio.to_thread(run)


def fail(payment: Payment) -> None:
    ledger.move(payment.latest_attempt_id, Status.FAILED, Cause(source=Source.WORKER, because="declined"))


def statuses(payment: Payment, meanwhile: Callable[[], Awaitable[object]]) -> list[str]:
    """The status of each event until the stream ends. `meanwhile` runs after the first event."""

    async def read() -> list[str]:
        found: list[str] = []
        async for block in blocks(open_response):
            if "data" in block:
                found.append(json.loads(block["data"])["status"])
                if len(found) == 1:
                    await meanwhile()
        return found

    open_response = open_stream(payment)
    return asyncio.run(read())


def soon(payment: Payment) -> float | None:
    """In place of `next_poll_seconds`."""
    return 0.05 if payment.public_status is PublicStatus.PENDING else None


async def deaf(changed: listeners.Changed) -> None:
    """In place of `listen`: hears nothing."""


# --- a reader ----------------------------------------------------------------------------------------


def test_slow_reader_gets_only_the_newest_state() -> None:
    async def read() -> list[object]:
        subscription = hub.Subscription()
        for number in range(1000):
            subscription.put(number)  # type: ignore[arg-type]  # only passed on
        return [await subscription.next(1), await subscription.next(0.01)]

    assert asyncio.run(read()) == [999, None]


def test_change_between_the_read_and_the_stream_is_not_missed(
    payment: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "listen", deaf)
    monkeypatch.setattr(streaming, "AFTER_SETTLEMENT_SECONDS", 0.05)
    response = open_stream(payment)
    fail(payment)

    async def read() -> list[str]:
        return [json.loads(block["data"])["status"] async for block in blocks(response) if "data" in block]

    assert asyncio.run(read())[-1] == "failed"


def test_stream_that_lived_long_ends_with_a_time_to_return(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LONGEST_LIFE_SECONDS", 3.0)  # time for a heartbeat also on a busy machine
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.05)

    async def read() -> list[dict[str, str]]:
        return [block async for block in blocks(open_response)]

    open_response = open_stream(payment)
    opened, event, *silence, end = asyncio.run(read())

    assert opened == {"retry": "3000"}
    assert set(event) == {"id", "data"}
    assert {"": ""} in silence
    assert 500 <= int(end["retry"]) <= 3000


def test_stream_ends_when_its_payer_is_erased(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "next_poll_seconds", soon)

    async def erase() -> None:
        await in_thread(lambda: Payment.objects.update(user=None, pseudonym="x"))

    assert statuses(payment, erase) == ["pending"]


def test_readers_of_two_languages_get_their_own_words(payment: Payment) -> None:
    fail(payment)
    read = read_payments().get(pk=payment.pk)

    frames = [snapshots.snapshot(read, snapshots.View(payment_body, language)).frame for language in ("en", "fr")]

    assert frames[0] != frames[1]


def test_nothing_is_sent_where_live_status_is_off(payment: Payment, configure: Configure) -> None:
    configure(LIVE_STATUS=False)

    with pytest.raises(NotAllowedError) as refused:
        open_stream(payment)

    assert refused.value.code == "not_acceptable"


# --- the hub -----------------------------------------------------------------------------------------


def test_payment_is_read_again_where_nothing_is_heard(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "listen", deaf)
    monkeypatch.setattr(snapshots, "next_poll_seconds", soon)
    monkeypatch.setattr(streaming, "AFTER_SETTLEMENT_SECONDS", 0.05)

    assert statuses(payment, lambda: in_thread(lambda: fail(payment))) == ["pending", "failed"]


def test_streams_outlive_a_database_that_does_not_answer(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, read = iter([OperationalError, OperationalError]), hub._read_in_thread

    def sometimes(wanted: Any) -> Any:
        if error := next(answers, None):
            raise error
        return read(wanted)

    monkeypatch.setattr(hub, "listen", deaf)
    monkeypatch.setattr(hub, "_read_in_thread", sometimes)
    monkeypatch.setattr(hub, "_AFTER_FAILURE_SECONDS", 0.05)
    monkeypatch.setattr(streaming, "AFTER_SETTLEMENT_SECONDS", 0.05)

    assert statuses(payment, lambda: in_thread(lambda: fail(payment))) == ["pending", "failed"]


# --- what is heard -----------------------------------------------------------------------------------


def heard(act: Callable[[], object]) -> list[str]:
    """The payloads that PostgreSQL sends while `act` runs."""
    direct = connections[feexpay.live_status_database]  # another than Django's behind pgbouncer
    parameters = {name: str(value) for name, value in direct.get_connection_params().items() if name in _CONNECT}
    with psycopg.connect(**parameters, autocommit=True) as listener:  # type: ignore[arg-type]
        listener.execute(f"LISTEN {CHANNEL}")
        act()
        listener.execute("SELECT pg_notify(%s, 'end')", [CHANNEL])
        payloads = []
        for notice in listener.notifies(timeout=_SECONDS):
            if notice.payload == "end":
                return payloads
            payloads.append(notice.payload)
    raise AssertionError("PostgreSQL sent no end")


_CONNECT = ("host", "port", "user", "password", "dbname")


@pytest.mark.postgres_only
def test_each_move_announces_its_payment_once(payment: Payment) -> None:
    def twice() -> None:
        fail(payment)
        fail(payment)  # illegal now, so nothing moves

    assert heard(twice) == [str(payment.pk)]


@pytest.mark.postgres_only
def test_code_of_the_payer_announces_its_payment(caller: Caller, gateway: ModelGateway) -> None:
    started = caller.initiate(provider="coris_bj", phone="0161000050").json()
    assert started["otp_required"]

    told = heard(lambda: caller.post(f"{started['id']}/otp/", {"otp": "123456"}))

    assert set(told) == {started["id"]}


@pytest.mark.postgres_only
def test_new_attempt_announces_its_payment(caller: Caller, gateway: ModelGateway, configure: Configure) -> None:
    started = caller.initiate().json()
    gateway.last().decline()
    reconcile(Payment.objects.get(pk=started["id"]).latest_attempt_id, source=Source.WORKER)
    configure(DISPATCH="queue")  # so that nothing is sent after it, which would be announced, too
    answers: list[Any] = []

    told = heard(lambda: answers.append(caller.post(f"retry/{started['id']}/", {})))

    assert (answers[0].status_code, told) == (202, [started["id"]])


@pytest.mark.postgres_only
def test_what_is_rolled_back_is_not_announced(payment: Payment) -> None:
    def undone() -> None:
        with transaction.atomic():
            announce(payment.pk)
            transaction.set_rollback(True)

    assert heard(undone) == []


@pytest.mark.postgres_only
def test_nothing_is_announced_where_live_status_is_off(payment: Payment, configure: Configure) -> None:
    configure(LIVE_STATUS=False)

    assert heard(lambda: fail(payment)) == []


@pytest.mark.postgres_only
def test_listener_whose_connection_breaks_comes_back(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed meanwhile is read: after each start, any payment may have changed."""
    monkeypatch.setattr(listeners, "_FIRST_PAUSE_SECONDS", 0.05)

    def break_it() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND query = %s",  # another worker of pytest-xdist has its listener in another database
                [f"LISTEN {CHANNEL}"],
            )
            assert cursor.fetchall() == [(True,)]

    async def run() -> list[list[UUID] | None]:
        told: asyncio.Queue[list[UUID] | None] = asyncio.Queue()

        def changed(payment_ids: Any = None) -> None:
            told.put_nowait(payment_ids)

        listening = asyncio.create_task(listeners.listen(changed))
        async with asyncio.timeout(_SECONDS):
            first = await told.get()
            await in_thread(break_it)
            second = await told.get()
            await in_thread(lambda: fail(payment))
            third = await told.get()
        listening.cancel()
        return [first, second, third]

    assert asyncio.run(run()) == [None, None, [payment.pk]]


def test_commit_of_another_connection_is_heard_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"

    async def run() -> int:
        told: asyncio.Queue[object] = asyncio.Queue()
        database: Any = SimpleNamespace(settings_dict={"NAME": str(path)})
        watching = asyncio.create_task(listeners._watch_sqlite(database, lambda payment_ids=None: told.put_nowait(1)))
        async with asyncio.timeout(_SECONDS):
            await told.get()
            writer.execute("INSERT INTO row VALUES (1)")
            writer.commit()
            await told.get()
        watching.cancel()
        return told.qsize()

    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE row (id int)")
        writer.commit()

        assert asyncio.run(run()) == 0


# --- limits ------------------------------------------------------------------------------------------


def refusal(payment: Payment) -> tuple[str, int | None]:
    with pytest.raises(NotAllowedError) as refused:
        open_stream(payment)
    return refused.value.code, refused.value.retry_after_seconds


def test_full_process_refuses_the_next_stream(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MOST_OF_A_PROCESS", 0)

    assert refusal(payment) == ("throttled", 30)


@pytest.mark.parametrize(("limit", "most"), [("MOST_OF_A_PROCESS", 7), ("MOST_OF_A_PAYMENT", 10)])
def test_limit_is_exact_when_many_connect_at_once(
    limit: str, most: int, payment: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stream has begun when the next request is judged."""
    monkeypatch.setattr(streaming, limit, most)
    read = read_payments().get(pk=payment.pk)
    gate = threading.Barrier(40, timeout=_SECONDS)

    def connect(_number: int) -> object:
        gate.wait()
        try:
            return stream(AsyncRequestFactory().get("/"), read, payment_body)
        except NotAllowedError as refused:
            return refused.code

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(connect, range(40)))

    assert sum(isinstance(answer, StreamingHttpResponse) for answer in answers) == most
    assert answers.count("throttled") == 40 - most


def test_stream_that_never_began_or_has_ended_makes_room(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MOST_OF_A_PROCESS", 1)
    never_read = open_stream(payment)
    assert refusal(payment) == ("throttled", 30)
    del never_read

    async def disconnect(response: StreamingHttpResponse) -> None:
        frames = response.streaming_content
        assert await anext(frames)  # type: ignore[call-overload, arg-type]  # an async iterator under ASGI
        await frames.aclose()  # type: ignore[union-attr]  # the client went away

    began = open_stream(payment)
    assert refusal(payment) == ("throttled", 30)
    asyncio.run(disconnect(began))

    assert open_stream(payment) is not began
