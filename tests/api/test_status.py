"""GET {id}/status/: the payment, the cost of a read, and when it polls FeexPay."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_feexpay import conf
from django_feexpay.gateway.transport import WireReply, WireRequest
from django_feexpay.models import Attempt, Credit, OutboxMessage, Payment
from tests.api.caller import Caller
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Guard

pytestmark = pytest.mark.django_db(transaction=True)

#: knox reads the token, and the user's other tokens.
AUTHENTICATION_STATEMENTS = 2


@pytest.fixture
def payment_id(caller: Caller, gateway: ModelGateway, clock: Clock) -> str:
    return str(caller.initiate().json()["id"])


def make_due() -> None:
    Attempt.objects.update(next_poll_at=conf.now() - timedelta(seconds=1))


def test_status_reads_what_initiate_answered(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    started = caller.initiate().json()

    assert caller.get(f"{started['id']}/status/").json() == started


def test_payment_that_is_not_due_costs_one_statement_and_no_call(
    caller: Caller, payment_id: str, gateway: ModelGateway
) -> None:
    with CaptureQueriesContext(connection) as statements:
        assert caller.get(f"{payment_id}/status/").status_code == 200

    assert len(statements) == AUTHENTICATION_STATEMENTS + 1
    assert gateway.questions == 0


@pytest.mark.parametrize(
    ("word", "status", "detail", "can_retry"),
    [
        ("SUCCESSFUL", "successful", "credited", False),
        ("FAILED", "failed", "declined", True),
        ("PENDING", "pending", "waiting_for_payer", False),
        ("IN PENDING STATE", "pending", "waiting_for_payer", False),
        ("CANCELLED", "pending", "waiting_for_payer", False),
    ],
)
def test_due_payment_is_polled(
    caller: Caller, payment_id: str, gateway: ModelGateway, word: str, status: str, detail: str, can_retry: bool
) -> None:
    gateway.last().status = word
    make_due()

    body = caller.get(f"{payment_id}/status/").json()

    assert (body["status"], body["detail"], body["can_retry"]) == (status, detail, can_retry)
    assert (body["settled_at"] is None, body["next_poll_seconds"] is None) == (status == "pending", status != "pending")
    assert gateway.questions == 1
    assert Credit.objects.count() == (1 if status == "successful" else 0)


def test_status_sends_no_signal_itself(caller: Caller, payment_id: str, gateway: ModelGateway) -> None:
    gateway.last().approve()
    make_due()

    caller.get(f"{payment_id}/status/")

    assert list(OutboxMessage.objects.values_list("signal", "delivered_at")) == [("payment_succeeded", None)]


def test_status_waits_two_seconds_for_feexpay_at_most(caller: Caller, payment_id: str, guard: Guard) -> None:
    asked: list[WireRequest] = []
    model = guard.inner

    class Watched:
        def exchange(self, request: WireRequest) -> WireReply:
            asked.append(request)
            return model.exchange(request)

    guard.inner = Watched()
    make_due()

    caller.get(f"{payment_id}/status/")

    assert [request.timeouts.total for request in asked] == [2.0]


def test_silent_gateway_leaves_the_last_known_status(caller: Caller, payment_id: str, gateway: ModelGateway) -> None:
    gateway.reads_unanswered = True
    make_due()

    response = caller.get(f"{payment_id}/status/")

    assert (response.status_code, response.json()["detail"]) == (200, "waiting_for_payer")


def test_status_leaves_a_lost_answer_to_the_worker(caller: Caller, gateway: ModelGateway, payment_id: str) -> None:
    Attempt.objects.update(gateway_reference=None, status="unknown")
    Payment.objects.update(status="unknown")
    make_due()

    assert caller.get(f"{payment_id}/status/").json()["detail"] == "checking"
    assert gateway.questions == 0


@pytest.mark.postgres_only
def test_parallel_reads_poll_once(player: User, caller: Caller, payment_id: str, guard: Guard) -> None:
    callers = [Caller(player) for _ in range(8)]
    model, together = guard.inner, threading.Barrier(8)
    asked: list[str] = []
    answered = threading.Event()

    class Slow:
        """Answers only after all other requests have their answers."""

        def exchange(self, request: WireRequest) -> WireReply:
            asked.append(request.url)
            answered.wait(60)
            return model.exchange(request)

    def read(reader: Caller) -> Any:
        together.wait()
        try:
            return reader.get(f"{payment_id}/status/").json()
        finally:
            finished.release()
            connection.close()

    guard.inner = Slow()
    make_due()
    finished = threading.Semaphore(0)
    with ThreadPoolExecutor(8) as threads:
        reading = [threads.submit(read, reader) for reader in callers]
        for _ in range(7):
            assert finished.acquire(timeout=60)
        answered.set()
        bodies = [future.result() for future in reading]

    assert len(asked) == 1
    assert {body["detail"] for body in bodies} == {"waiting_for_payer"}


# --- ETag and 304 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("writing", ["{tag}", 'W/"x", {tag}', '"x",{tag} , "y"', "*"])
def test_known_answer_is_304_without_a_body(caller: Caller, payment_id: str, writing: str) -> None:
    first = caller.get(f"{payment_id}/status/")

    again = caller.get(f"{payment_id}/status/", headers={"If-None-Match": writing.format(tag=first.headers["ETag"])})

    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


@pytest.mark.parametrize("writing", ['"x"', 'W/"x"', "x", ""])
def test_unknown_tag_gets_the_answer(caller: Caller, payment_id: str, writing: str) -> None:
    assert caller.get(f"{payment_id}/status/", headers={"If-None-Match": writing}).status_code == 200


def test_tag_changes_with_the_payment_and_not_with_the_time(
    caller: Caller, payment_id: str, gateway: ModelGateway, clock: Clock
) -> None:
    first = caller.get(f"{payment_id}/status/")
    clock.advance(3)
    later = caller.get(f"{payment_id}/status/")
    gateway.last().approve()
    make_due()
    paid = caller.get(f"{payment_id}/status/", headers={"If-None-Match": first.headers["ETag"]})

    assert first.json()["next_poll_seconds"] != later.json()["next_poll_seconds"]
    assert first.headers["ETag"] == later.headers["ETag"]
    assert first.headers["ETag"].startswith('W/"')
    assert paid.status_code == 200


def test_answers_vary_with_the_language(caller: Caller, payment_id: str) -> None:
    assert "Accept-Language" in caller.get(f"{payment_id}/status/").headers["Vary"]


def test_answers_about_payments_stay_out_of_shared_caches(caller: Caller, payment_id: str) -> None:
    for response in (caller.get(f"{payment_id}/status/"), caller.get("history/")):
        assert response.headers["Cache-Control"] == "private, no-cache"


def test_reads_of_a_due_payment_poll_once(caller: Caller, payment_id: str, gateway: ModelGateway) -> None:
    make_due()

    for _ in range(5):
        caller.get(f"{payment_id}/status/")

    assert gateway.questions == 1
