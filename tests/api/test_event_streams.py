"""GET {id}/events/ over real sockets: the same under uvicorn and under gunicorn with its workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection

from tests.api.caller import Caller, new_token
from tests.api.event_reader import EventReader
from tests.asgi_site import SERVERS, asgi_server
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import sweep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

Address = tuple[str, int]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[Address]:
    with asgi_server(request.param) as (address, _process):
        yield address


@pytest.fixture
def payment_id(caller: Caller, gateway: ModelGateway) -> str:
    return str(caller.initiate().json()["id"])


def settle(gateway: ModelGateway) -> None:
    gateway.last().approve()
    connection.cursor().execute("UPDATE feexpay_attempt SET next_poll_at = now()")
    sweep()


def test_reader_sees_the_payment_then_each_change_then_the_end(
    server: Address, player: User, caller: Caller, payment_id: str, gateway: ModelGateway
) -> None:
    token = new_token(player)
    with EventReader(server, payment_id, token) as reader:
        before = reader.event()
        status = caller.get(f"{payment_id}/status/")
        settle(gateway)
        after = reader.event()
        rest = reader.rest()

    assert reader.status == 200
    assert reader.headers["Content-Type"] == "text/event-stream"
    assert (reader.headers["Cache-Control"], reader.headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert before is not None
    assert (before.tag, before.body) == (status.headers["ETag"], status.json() | before.body)
    assert after is not None
    assert (after.body["status"], after.body["detail"]) == ("successful", "credited")
    assert after.tag == caller.get(f"{payment_id}/status/").headers["ETag"]
    assert b"data:" not in rest
    with EventReader(server, payment_id, token, {"Last-Event-ID": after.tag}) as again:
        assert (again.status, again.rest()) == (204, b"")


def test_reader_that_knows_the_state_gets_only_what_is_new(
    server: Address, player: User, caller: Caller, payment_id: str, gateway: ModelGateway
) -> None:
    known = caller.get(f"{payment_id}/status/").headers["ETag"]

    with EventReader(server, payment_id, new_token(player), {"Last-Event-ID": known}) as reader:
        assert set(reader.block() or {}) == {"retry"}
        settle(gateway)
        event = reader.event()

    assert event is not None
    assert event.body["status"] == "successful"


@pytest.mark.parametrize(("who", "status"), [("another user", 404), ("nobody", 401)])
def test_stream_opens_only_for_the_owner(server: Address, payment_id: str, who: str, status: int) -> None:
    token = new_token(User.objects.create_user("kofi")) if who == "another user" else ""

    with EventReader(server, payment_id, token) as reader:
        assert reader.status == status
        assert reader.headers["Content-Type"] == "application/problem+json"


def test_open_streams_hold_no_database_connection(server: Address, player: User, payment_id: str) -> None:
    """Ten streams: one connection listens, and one reads for all of them; the pool may keep one more."""
    # PostgreSQL itself has connections, too: of a worker that vacuums the database.
    ours = "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    with connection.cursor() as cursor, ExitStack() as stack:
        cursor.execute(f"SELECT count(*) {ours}")
        before = cursor.fetchone()[0]
        for _ in range(10):
            reader = stack.enter_context(EventReader(server, payment_id, new_token(player)))
            assert reader.event() is not None
        cursor.execute(f"SELECT count(*) {ours}")
        opened = cursor.fetchone()[0] - before

        with EventReader(server, payment_id, new_token(player)) as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (429, "30")

    assert opened <= 3


@pytest.mark.parametrize("path", ["static/shop/shop.css", "static/admin/css/base.css"])
def test_static_files_are_served(server: Address, path: str) -> None:
    host, port = server
    answer = requests.get(f"http://{host}:{port}/{path}", timeout=60)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert len(answer.content) == int(answer.headers["Content-Length"]) > 1000
    assert requests.head(f"http://{host}:{port}/{path}", timeout=60).content == b""


@pytest.mark.parametrize("name", SERVERS)
def test_server_that_stops_ends_its_streams_and_names_a_time_to_return(
    name: str, player: User, payment_id: str
) -> None:
    with (
        asgi_server(name) as (address, process),
        EventReader(address, payment_id, new_token(player)) as reader,
    ):
        assert reader.event() is not None
        process.send_signal(signal.SIGTERM)
        block = reader.block()

        assert set(block or {}) == {"retry"}
        assert reader.block() is None
        assert process.wait(60) in (0, -signal.SIGTERM)
