"""DISPATCH="queue": every entry point answers at once, and only the worker sends."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django_q.models import OrmQ

import django_feexpay
from django_feexpay.background import tasks
from django_feexpay.models import Attempt, Credit, Payment
from tests.api.caller import Caller, assert_problem
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway, accept_as, cannot_reach, refuse
from tests.payments.fakes import Clock, sweep, sweep_at_next_poll

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def queue(configure: Configure, gateway: ModelGateway, clock: Clock) -> None:
    configure(DISPATCH="queue")


def test_start_over_http_is_queued_sent_and_credited(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    started = caller.initiate(headers={"Idempotency-Key": "tap"})
    again = caller.initiate(headers={"Idempotency-Key": "tap"})

    assert (started.status_code, started.json()["detail"]) == (202, "queued")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert gateway.charges == []

    sweep()
    read = caller.get(f"{started.json()['id']}/status/").json()
    assert (read["status"], read["detail"], read["reference"]) == ("pending", "waiting_for_payer", "ref-0001")
    gateway.last().approve()
    sweep_at_next_poll(clock)
    assert caller.get(f"{started.json()['id']}/status/").json()["detail"] == "credited"
    assert (len(gateway.charges), Credit.objects.count()) == (1, 1)


def test_retry_over_http_is_queued_too(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse()]
    payment_id = caller.initiate().json()["id"]
    sweep()
    gateway.forget(gateway.last())

    answer = caller.post(f"retry/{payment_id}/", {"phone": "0161000051"})

    assert (answer.status_code, answer.json()["detail"]) == (202, "queued")
    sweep()
    assert [charge.msisdn[-2:] for charge in gateway.charges] == ["51"]
    assert_problem(caller.post(f"retry/{payment_id}/"), 409, "payment_open", members=("payment_id",))


def test_start_and_retry_from_python_are_queued_too(player: User, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse()]
    payment = django_feexpay.start_payment(user=player, provider="mtn_bj", amount=5000, phone="0161000050")
    assert (payment.status, gateway.charges) == ("created", [])
    sweep()
    gateway.forget(gateway.last())

    again = django_feexpay.retry_payment(payment.pk)

    assert (again.status, gateway.charges) == ("created", [])
    sweep()
    assert Payment.objects.get().status == "pending"


@pytest.mark.parametrize("dispatch", ["inline", "queue"])
def test_synchronous_provider_is_sent_by_the_worker_whatever_the_dispatch(
    caller: Caller, gateway: ModelGateway, clock: Clock, configure: Configure, dispatch: str
) -> None:
    """Its answer comes minutes later, too late for a web process. A final status in it is still proved by a poll."""
    configure(DISPATCH=dispatch)
    gateway.next_collects = [accept_as("moov-1", status="SUCCESSFUL")]
    answer = caller.initiate(provider="moov_bj", phone="0195000050")
    assert (answer.status_code, gateway.charges) == (202, [])

    sweep()

    assert (Attempt.objects.get().status, Credit.objects.count()) == ("pending", 0)
    gateway.last().approve()
    sweep()
    assert Credit.objects.count() == 1


def test_status_never_sends_a_queued_payment(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    payment_id = caller.initiate().json()["id"]
    clock.advance(60)

    assert caller.get(f"{payment_id}/status/").json()["detail"] == "queued"
    assert gateway.charges == []


def test_never_sent_payment_says_so_and_may_be_retried(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [cannot_reach] * 20
    payment_id = caller.initiate().json()["id"]
    while Attempt.objects.get().status == "created":
        sweep_at_next_poll(clock)

    read = caller.get(f"{payment_id}/status/").json()

    assert (read["status"], read["detail"], read["reason"]["code"]) == ("failed", "expired", "never_sent")
    assert "Nothing was taken" in read["reason"]["message"]
    assert read["can_retry"] is True


@pytest.mark.parametrize("dispatch", ["inline", "queue"])
def test_starts_enqueue_one_sweep_task_for_a_cluster(
    caller: Caller, player: User, configure: Configure, monkeypatch: pytest.MonkeyPatch, dispatch: str
) -> None:
    configure(DISPATCH=dispatch)
    monkeypatch.setattr(tasks, "_engine", (-1000.0, False))
    tasks.schedule()

    caller.initiate()
    assert OrmQ.objects.count() == 1

    django_feexpay.start_payment(user=player, provider="mtn_bj", amount=5000, phone="0161000052")
    assert OrmQ.objects.count() == 1


# --- the limit of attempts --------------------------------------------------------------------------------


def test_payment_with_the_most_attempts_is_not_retryable(
    caller: Caller, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="inline", MAX_ATTEMPTS=3)
    gateway.next_collects = [refuse()] * 9
    body: dict[str, Any] = caller.initiate().json()
    payment_id = body["id"]
    for attempts in (2, 3):
        assert body["can_retry"] is True
        body = caller.post(f"retry/{payment_id}/").json()
        assert body["attempt_count"] == attempts

    assert body["can_retry"] is False
    answer = caller.post(f"retry/{payment_id}/")

    assert_problem(answer, 409, "not_retryable", members=("payment_id",))
    assert Attempt.objects.count() == 3
