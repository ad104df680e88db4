"""The prompt limit of a phone: 429 with Retry-After, before anything is written."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_feexpay.models import IdempotencyRecord, Payment
from tests.api.caller import Caller, assert_problem, row_counts
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, sweep_at_next_poll
from tests.payments.threads import at_once
from tests.sandbox.running import RunningSandbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def two_an_hour(configure: Configure) -> None:
    configure(PROMPTS_PER_PHONE=2)


def start(caller: Caller, number: int, **more: Any) -> Any:
    return caller.initiate(amount=1000 + number, merchant_reference=f"order-{number}", **more)


@pytest.mark.parametrize(
    ("language", "title", "detail"),
    [
        (
            "en",
            "This number was asked to pay too often",
            "This number was asked to pay too often. Nothing was sent. Try again in 60 minutes, or use another number.",
        ),
        (
            "fr",
            "Ce numéro a reçu trop de demandes de paiement",
            "Ce numéro a reçu trop de demandes de paiement. Rien n'a été envoyé."
            " Réessayez dans 60 minutes ou utilisez un autre numéro.",
        ),
    ],
)
def test_third_start_to_one_number_is_429_with_retry_after(
    caller: Caller, gateway: ModelGateway, clock: Clock, language: str, title: str, detail: str
) -> None:
    other = Caller(User.objects.create_user("kofi"))
    assert [start(caller, 1).status_code, start(other, 2).status_code] == [201, 201]
    before = row_counts()

    response = start(other, 3, headers={"Accept-Language": language, "Idempotency-Key": "tap-3"})

    body = assert_problem(response, 429, "too_many_prompts")
    assert (body["title"], body["detail"]) == (title, detail)
    assert response.headers["Retry-After"] == "3600"
    assert row_counts() == before
    assert not IdempotencyRecord.objects.exists()
    assert len(gateway.charges) == 2
    assert "61000050" not in str(body)


@pytest.mark.postgres_only
def test_sixty_users_at_once_prompt_one_phone_five_times_at_the_sandbox(
    configure: Configure, sandbox: RunningSandbox
) -> None:
    configure(PROMPTS_PER_PHONE=5)
    callers = [Caller(User.objects.create_user(f"player-{number}")) for number in range(60)]

    answers = at_once(60, lambda number: start(callers[number], number).status_code)

    assert Counter(answers) == {201: 5, 429: 55}
    assert (sandbox.prompts(), Payment.objects.count()) == (5, 5)


def test_key_of_a_refused_start_works_after_the_limit(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    start(caller, 1)
    start(caller, 2)
    key = {"Idempotency-Key": "tap-3"}
    wait = int(start(caller, 3, headers=key).headers["Retry-After"])

    clock.advance(wait)

    assert start(caller, 3, headers=key).status_code == 201


def test_replay_and_known_order_come_before_the_limit(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    key = {"Idempotency-Key": "tap-1"}
    first = start(caller, 1, headers=key)
    start(caller, 2)

    again = start(caller, 1, headers=key)

    assert (again.status_code, again.content) == (201, first.content)
    body = assert_problem(start(caller, 1), 409, "duplicate_payment", members=("payment_id",))
    assert body["payment_id"] == first.json()["id"]


def test_queue_refuses_before_anything_is_written(
    caller: Caller, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")
    assert [start(caller, number).status_code for number in range(3)] == [202, 202, 429]
    assert Payment.objects.count() == 2


@pytest.mark.parametrize("body", [{}, {"phone": "0161000050"}, {"phone": "+229 01 61 00 00 99"}])
def test_retry_to_a_phone_over_its_limit_is_refused(
    caller: Caller, gateway: ModelGateway, clock: Clock, body: dict[str, str]
) -> None:
    payment_id = start(caller, 1, phone=body.get("phone", "0161000050").replace("99", "50")).json()["id"]
    gateway.last().decline()
    sweep_at_next_poll(clock)
    start(caller, 2, phone="0161000050")
    start(caller, 3, phone="0161000099")
    start(caller, 4, phone="0161000099")
    before = row_counts()

    response = caller.post(f"retry/{payment_id}/", body)

    assert_problem(response, 429, "too_many_prompts")
    assert 0 < int(response.headers["Retry-After"]) <= 3600
    assert row_counts() == before
    assert caller.post(f"retry/{payment_id}/", {"phone": "0161000051"}).status_code == 201
