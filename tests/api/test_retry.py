"""POST retry/{id}/: a new attempt only after every earlier one failed for certain."""

from __future__ import annotations

from typing import Any

import pytest

from django_feexpay.models import Attempt, Credit, Payment, Provider
from tests.api.caller import Caller, assert_problem, row_counts
from tests.payments.fake_gateway import ModelGateway, cannot_reach, lose_the_answer, refuse
from tests.payments.fakes import Clock, sweep_at_next_poll

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def declined(caller: Caller, gateway: ModelGateway, clock: Clock) -> str:
    """A payment FeexPay confirmed as failed."""
    payment_id = str(caller.initiate(merchant_reference="order-7", metadata={"level": 3}).json()["id"])
    gateway.last().decline()
    sweep_at_next_poll(clock)
    return payment_id


def test_retry_after_a_confirmed_failure_asks_another_phone(
    caller: Caller, gateway: ModelGateway, declined: str
) -> None:
    response = caller.post(f"retry/{declined}/", {"phone": "0161000051"})

    body = response.json()
    assert response.status_code == 201
    assert (body["id"], body["status"], body["detail"]) == (declined, "pending", "waiting_for_payer")
    assert (body["attempt_count"], body["phone"], body["reference"]) == (2, "+229 01 •• •• •• 51", "ref-0002")
    assert (body["merchant_reference"], body["metadata"], body["reason"]) == ("order-7", {"level": 3}, None)
    assert [charge.msisdn[-2:] for charge in gateway.charges] == ["50", "51"]


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_retry_without_a_phone_asks_the_same_one(
    caller: Caller, gateway: ModelGateway, declined: str, body: bytes
) -> None:
    assert caller.post(f"retry/{declined}/", body).status_code == 201

    assert [charge.msisdn[-2:] for charge in gateway.charges] == ["50", "50"]


def test_retry_after_a_refusal_is_possible(caller: Caller, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse())
    payment_id = caller.initiate().json()["id"]

    assert caller.post(f"retry/{payment_id}/").status_code == 201


@pytest.mark.parametrize("happening", [cannot_reach, lose_the_answer], ids=["queued", "answer lost"])
def test_retry_whose_answer_is_unknown_is_202(
    caller: Caller, gateway: ModelGateway, declined: str, happening: Any
) -> None:
    gateway.next_collects.append(happening)

    assert caller.post(f"retry/{declined}/").status_code == 202


def test_open_payment_is_not_retried(caller: Caller, gateway: ModelGateway) -> None:
    payment_id = caller.initiate().json()["id"]

    body = assert_problem(caller.post(f"retry/{payment_id}/"), 409, "payment_open", members=("payment_id",))

    assert body["payment_id"] == payment_id
    assert len(gateway.charges) == 1


def test_payment_whose_answer_was_lost_is_not_retried(caller: Caller, gateway: ModelGateway) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment_id = caller.initiate().json()["id"]

    assert_problem(caller.post(f"retry/{payment_id}/"), 409, "payment_open", members=("payment_id",))

    assert len(gateway.charges) == 1


def test_queued_payment_is_not_retried(caller: Caller, gateway: ModelGateway) -> None:
    gateway.next_collects.append(cannot_reach)
    payment_id = caller.initiate().json()["id"]

    assert_problem(caller.post(f"retry/{payment_id}/"), 409, "payment_open", members=("payment_id",))

    assert gateway.charges == []


def test_expired_payment_is_not_retried_until_feexpay_says_failed(
    caller: Caller, gateway: ModelGateway, clock: Clock
) -> None:
    payment_id = caller.initiate().json()["id"]
    clock.advance(900)
    sweep_at_next_poll(clock)
    status = caller.get(f"{payment_id}/status/").json()
    assert (status["detail"], status["can_retry"], status["reason"]["code"]) == ("expired", False, "expired")
    assert_problem(caller.post(f"retry/{payment_id}/"), 409, "payment_open", members=("payment_id",))

    gateway.last().decline()

    assert caller.post(f"retry/{payment_id}/").status_code == 201


def test_retry_that_finds_the_first_attempt_paid_credits_it(
    caller: Caller, gateway: ModelGateway, declined: str
) -> None:
    gateway.last().approve()

    assert_problem(caller.post(f"retry/{declined}/"), 409, "not_retryable", members=("payment_id",))

    assert Credit.objects.get().payment_id == Payment.objects.get().pk
    assert len(gateway.charges) == 1


def test_retry_is_refused_while_feexpay_cannot_confirm_the_first_failure(caller: Caller, gateway: ModelGateway) -> None:
    payment_id = caller.initiate().json()["id"]
    gateway.away = True

    assert_problem(caller.post(f"retry/{payment_id}/"), 409, "payment_open", members=("payment_id",))


def test_paid_payment_is_not_retried(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    payment_id = caller.initiate().json()["id"]
    gateway.last().approve()
    sweep_at_next_poll(clock)

    assert_problem(caller.post(f"retry/{payment_id}/"), 409, "not_retryable", members=("payment_id",))


def test_retry_with_a_provider_that_was_switched_off_is_refused(
    caller: Caller, gateway: ModelGateway, declined: str
) -> None:
    Provider.objects.filter(pk="mtn_bj").update(enabled=False)

    assert_problem(caller.post(f"retry/{declined}/"), 422, "provider_unavailable")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b'{"phone":"+225 0700000000"}', "validation_error", "phone"),
        (b'{"phone":161000051}', "validation_error", "phone"),
        (b'{"phone":""}', "validation_error", "phone"),
        (b'{"phone":null}', "validation_error", "phone"),
        (b'{"amount":1}', "validation_error", "amount"),
        (b'{"provider":"moov_bj"}', "validation_error", "provider"),
        (b'{"otp":"12345678901234567"}', "validation_error", "otp"),
        (b"[]", "malformed_request", None),
        (b'{"phone":"0161000051","phone":"0161000052"}', "malformed_request", None),
        (b'{"phone":"\\ud800"}', "malformed_request", None),
    ],
)
def test_retry_refuses_wrong_input(
    caller: Caller, gateway: ModelGateway, declined: str, body: bytes, code: str, field: str | None
) -> None:
    before = row_counts()

    assert_problem(caller.post(f"retry/{declined}/", body), 400, code, field=field)

    assert (row_counts(), len(gateway.charges)) == (before, 1)


def test_retry_without_content_length_does_not_charge_the_old_phone(
    caller: Caller, gateway: ModelGateway, declined: str
) -> None:
    response = caller.post(f"retry/{declined}/", headers={"Transfer-Encoding": "chunked", "Content-Length": ""})

    assert_problem(response, 400, "malformed_request")
    assert Attempt.objects.count() == 1
