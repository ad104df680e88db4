"""Idempotency keys over HTTP: one key, one answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from django_feexpay import failpoints
from django_feexpay.models import IdempotencyRecord, Payment
from tests.api.caller import Caller, assert_problem
from tests.payments.fake_gateway import ModelGateway, accept, cannot_reach, lose_the_answer, refuse
from tests.payments.fakes import Clock, sweep_at_next_poll

pytestmark = pytest.mark.django_db(transaction=True)

KEY = {"Idempotency-Key": "tap-1"}


class ProcessDiedError(RuntimeError):
    """Stands for the death of the web process."""


def die() -> None:
    raise ProcessDiedError


@pytest.mark.parametrize(
    ("happening", "status"),
    [(accept, 201), (refuse(), 201), (cannot_reach, 202), (lose_the_answer, 202)],
    ids=["accepted", "refused", "queued", "answer lost"],
)
def test_same_key_gets_the_first_answer_byte_for_byte(
    caller: Caller, gateway: ModelGateway, happening: Any, status: int
) -> None:
    gateway.next_collects.append(happening)
    body = {"metadata": {"b": 1e300, "aa": 1.5, "a": [None, "é", {"zz": 1, "y": 2}]}, "merchant_reference": "o"}

    first = caller.initiate(headers=KEY, **body)
    again = [caller.initiate(headers=KEY, **body) for _ in range(2)]

    assert first.status_code == status
    assert "Idempotency-Replayed" not in first.headers
    assert [(answer.status_code, answer.content) for answer in again] == [(status, first.content)] * 2
    assert [answer.headers["Idempotency-Replayed"] for answer in again] == ["true", "true"]
    assert Payment.objects.count() == 1


def test_first_answer_is_repeated_after_the_payment_changed(
    caller: Caller, gateway: ModelGateway, clock: Clock
) -> None:
    first = caller.initiate(headers=KEY)
    gateway.last().approve()
    sweep_at_next_poll(clock)
    assert caller.get(f"{first.json()['id']}/status/").json()["status"] == "successful"

    assert caller.initiate(headers=KEY).content == first.content


def test_order_of_fields_and_spaces_do_not_change_the_body(caller: Caller, gateway: ModelGateway) -> None:
    first = caller.post("initiate/", b'{"provider":"mtn_bj","amount":5000,"phone":"0161000050"}', headers=KEY)
    again = caller.post("initiate/", b'{ "phone": "0161000050", "amount": 5000, "provider": "mtn_bj" }', headers=KEY)

    assert again.content == first.content


@pytest.mark.parametrize(
    "changes",
    [{"amount": 5001}, {"phone": "0161000051"}, {"metadata": {}}, {"description": "x"}, {"provider": "moov_bj"}],
)
def test_same_key_with_another_body_is_a_mismatch(
    caller: Caller, gateway: ModelGateway, changes: dict[str, Any]
) -> None:
    caller.initiate(headers=KEY)

    assert_problem(caller.initiate(headers=KEY, **changes), 422, "idempotency_mismatch")

    assert (Payment.objects.count(), len(gateway.charges)) == (1, 1)


def test_key_of_initiate_does_not_work_for_retry(caller: Caller, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse())
    payment_id = caller.initiate(headers=KEY).json()["id"]

    assert_problem(caller.post(f"retry/{payment_id}/", headers=KEY), 422, "idempotency_mismatch")


def test_first_request_still_running_is_a_conflict(caller: Caller, gateway: ModelGateway) -> None:
    meanwhile: list[Any] = []

    with failpoints.arm("before_send", lambda: meanwhile.append(caller.initiate(headers=KEY))):
        first = caller.initiate(headers=KEY)

    assert first.status_code == 201
    assert_problem(meanwhile[0], 409, "idempotency_conflict")
    assert meanwhile[0].headers["Retry-After"] == "2"
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("place", ["started", "after_send", "sent"])
def test_missing_first_answer_is_made_from_the_row_after_90_seconds(
    caller: Caller, gateway: ModelGateway, clock: Clock, place: str
) -> None:
    with failpoints.arm(place, die), pytest.raises(ProcessDiedError):
        caller.initiate(headers=KEY)
    clock.advance(89)
    assert_problem(caller.initiate(headers=KEY), 409, "idempotency_conflict")

    clock.advance(1)
    answer = caller.initiate(headers=KEY)

    payment = Payment.objects.get()
    assert answer.json()["id"] == str(payment.pk)
    assert answer.status_code == (201 if place == "sent" else 202)
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert len(gateway.charges) == (0 if place == "started" else 1)


def test_refusal_before_a_payment_exists_is_not_remembered(caller: Caller, gateway: ModelGateway) -> None:
    assert_problem(caller.initiate(headers=KEY, amount=1), 400, "validation_error")
    assert_problem(caller.initiate(headers=KEY, provider="mtn_cm"), 422, "provider_unavailable")
    assert IdempotencyRecord.objects.count() == 0

    assert caller.initiate(headers=KEY).status_code == 201


def test_retry_with_a_key_opens_one_attempt(caller: Caller, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse())
    payment_id = caller.initiate().json()["id"]

    first = caller.post(f"retry/{payment_id}/", {"phone": "0161000051"}, headers=KEY)
    again = caller.post(f"retry/{payment_id}/", {"phone": "0161000051"}, headers=KEY)

    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(gateway.charges) == 2
    other = caller.post(f"retry/{payment_id}/", {"phone": "0161000052"}, headers=KEY)
    assert_problem(other, 422, "idempotency_mismatch")


@pytest.mark.postgres_only
def test_fifty_parallel_starts_make_one_payment_and_one_call(player: User, gateway: ModelGateway) -> None:
    callers = [Caller(player) for _ in range(50)]
    together = threading.Barrier(50)

    def tap(caller: Caller) -> Any:
        together.wait()
        try:
            return caller.initiate(headers=KEY)
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(tap, callers))

    assert (Payment.objects.count(), len(gateway.charges)) == (1, 1)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.content for answer in answers if answer.status_code == 201} == {
        Caller(player).initiate(headers=KEY).content
    }
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "idempotency_conflict")


@pytest.mark.postgres_only
def test_fifty_parallel_retries_open_one_attempt(player: User, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse())
    payment_id = Caller(player).initiate().json()["id"]
    callers = [Caller(player) for _ in range(50)]
    together = threading.Barrier(50)

    def tap(caller: Caller) -> Any:
        together.wait()
        try:
            return caller.post(f"retry/{payment_id}/")
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(tap, callers))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    assert len(gateway.charges) == 2


def test_empty_key_is_refused(caller: Caller) -> None:
    refused = caller.initiate(headers={"Idempotency-Key": ""})

    assert_problem(refused, 400, "validation_error", field="Idempotency-Key")
    assert not Payment.objects.exists()
