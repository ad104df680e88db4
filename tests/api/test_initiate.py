"""POST initiate/: the answer after a success, a refusal, a timeout and while FeexPay is unreachable."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from shop.models import CoinPack

from django_feexpay.models import Attempt, Credit, IdempotencyRecord, Payment
from tests.api.caller import Caller, assert_problem
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway, answer_429, cannot_reach, lose_the_answer, refuse
from tests.payments.fakes import Clock, sweep
from tests.sandbox.running import RunningSandbox, run_sandbox

pytestmark = pytest.mark.django_db(transaction=True)

#: Every field of a payment in the HTTP API, and its types.
PAYMENT_SHAPE: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "status": (str,),
    "detail": (str,),
    "provider": (str,),
    "provider_name": (str,),
    "country": (str, type(None)),
    "amount": (int,),
    "currency": (str,),
    "charged_amount": (int,),
    "charged_currency": (str,),
    "exchange_rate": (str, type(None)),
    "fee": (int,),
    "phone": (str,),
    "merchant_reference": (str,),
    "reference": (str, type(None)),
    "redirect_url": (str, type(None)),
    "otp_required": (bool,),
    "reason": (dict, type(None)),
    "can_retry": (bool,),
    "next_poll_seconds": (int, type(None)),
    "attempt_count": (int,),
    "created_at": (str,),
    "updated_at": (str,),
    "expires_at": (str,),
    "settled_at": (str, type(None)),
    "metadata": (dict,),
}


def assert_shape(body: dict[str, Any]) -> None:
    assert list(body) == list(PAYMENT_SHAPE)
    assert {name: type(value) for name, value in body.items() if type(value) not in PAYMENT_SHAPE[name]} == {}


def test_metadata_of_2048_bytes_is_kept(caller: Caller, gateway: ModelGateway) -> None:
    full = {"note": "x" * 2037}

    assert caller.initiate(metadata=full).json()["metadata"] == full


def test_body_of_the_answer_follows_the_interface(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    response = caller.initiate(
        phone="00229 0161000050",
        merchant_reference="order-7",
        description="500 coins",
        metadata={"level": 3},
        first_name="Ama",
        last_name="Doe",
        email="ama@example.com",
        return_url="https://testserver/paid",
        cancel_url="https://testserver/no",
    )

    body = response.json()
    assert (response.status_code, response.headers["Content-Type"]) == (201, "application/json")
    assert_shape(body)
    moments = {name: body.pop(name) for name in ("created_at", "updated_at", "expires_at")}
    assert UUID(body.pop("id"))
    assert body == {
        "status": "pending",
        "detail": "waiting_for_payer",
        "provider": "mtn_bj",
        "provider_name": "MTN Mobile Money",
        "country": "BJ",
        "amount": 5000,
        "currency": "XOF",
        "charged_amount": 5000,
        "charged_currency": "XOF",
        "exchange_rate": None,
        "fee": 85,
        "phone": "+229 01 •• •• •• 50",
        "merchant_reference": "order-7",
        "reference": "ref-0001",
        "redirect_url": None,
        "otp_required": False,
        "reason": None,
        "can_retry": False,
        "next_poll_seconds": 5,
        "attempt_count": 1,
        "settled_at": None,
        "metadata": {"level": 3},
    }
    created, expires = (datetime.fromisoformat(moments[name]) for name in ("created_at", "expires_at"))
    assert (expires - created).total_seconds() == 900
    assert all(moment.endswith("Z") for moment in moments.values())


def test_initiate_asks_feexpay_once_for_the_price(caller: Caller, gateway: ModelGateway) -> None:
    caller.initiate()

    charge = gateway.last()
    assert len(gateway.charges) == 1
    assert (charge.amount, charge.msisdn) == (5000, "2290161000050")
    assert charge.echo == str(Attempt.objects.get().pk)


def test_price_of_the_pack_is_accepted(caller: Caller, gateway: ModelGateway, configure: Configure) -> None:
    configure(PAYABLE="shop.orders.Orders")
    CoinPack.objects.create(code="test-pack", name="Test", coins=500, price=5000)

    assert caller.initiate(metadata={"pack": "test-pack"}).status_code == 201


def test_without_payable_a_start_is_refused(
    caller: Caller, gateway: ModelGateway, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(PAYABLE=None)

    answer = caller.initiate()

    assert_problem(answer, 503, "not_configured")
    assert "Retry-After" not in answer.headers  # the same request later would be refused, too
    assert (Payment.objects.count(), len(gateway.charges)) == (0, 0)
    assert "feexpay.W014" in caplog.text


@pytest.mark.parametrize("host", ["[::1]", "[::1]:8000", "shop.example", "shop.example:8000"])
def test_payer_may_return_to_the_host_of_the_request(caller: Caller, gateway: ModelGateway, host: str) -> None:
    response = caller.initiate(return_url=f"https://{host}/paid", headers={"Host": host})

    assert response.status_code == 201


def test_payer_may_return_only_to_listed_hosts(caller: Caller, gateway: ModelGateway, configure: Configure) -> None:
    configure(RETURN_HOSTS="shop.example")

    elsewhere = caller.initiate(return_url="https://testserver/paid", headers={"Host": "testserver"})
    listed = caller.initiate(return_url="https://shop.example/paid", headers={"Host": "testserver"})

    assert_problem(elsewhere, 400, "validation_error", field="return_url")
    assert listed.status_code == 201


def test_refused_start_is_a_failed_payment(caller: Caller, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse("PAYER_NOT_FOUND"))

    response = caller.initiate()

    body = response.json()
    assert response.status_code == 201
    assert_shape(body)
    assert (body["status"], body["detail"], body["can_retry"]) == ("failed", "refused", True)
    assert body["reason"] == {
        "code": "payer_not_found",
        "message": "This number has no mobile money account. Check it or use another one.",
    }
    assert (body["reference"], body["next_poll_seconds"]) == (None, None)
    assert body["settled_at"] is not None


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("en", "This number has no mobile money account. Check it or use another one."),
        ("fr", "Ce numéro n'a pas de compte mobile money. Vérifiez-le ou utilisez-en un autre."),
        ("fr-BJ, en;q=0.5", "Ce numéro n'a pas de compte mobile money. Vérifiez-le ou utilisez-en un autre."),
        ("de", "This number has no mobile money account. Check it or use another one."),
    ],
)
def test_reason_is_in_the_language_of_the_payer(
    caller: Caller, gateway: ModelGateway, language: str, message: str
) -> None:
    gateway.next_collects.append(refuse("PAYER_NOT_FOUND"))

    response = caller.initiate(headers={"Accept-Language": language})

    assert response.json()["reason"]["message"] == message


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "UNAUTHORIZED"), (403, "IP_NOT_ALLOWED"), (404, "ERR_SHOP_NOT_FOUND"), (403, "FORBIDDEN")],
)
def test_reason_hides_problems_of_the_shops_account(
    caller: Caller, gateway: ModelGateway, status: int, code: str
) -> None:
    gateway.next_collects.append(refuse(code, status=status))

    body = caller.initiate().json()

    assert (body["status"], body["detail"], body["reason"]["code"]) == ("failed", "refused", "misconfigured")


@pytest.mark.parametrize(
    ("happening", "detail"),
    [(cannot_reach, "queued"), (answer_429(7), "checking"), (lose_the_answer, "checking")],
    ids=["unreachable", "rate limited", "answer lost"],
)
def test_unknown_answer_is_202(caller: Caller, gateway: ModelGateway, happening: Any, detail: str) -> None:
    gateway.next_collects.append(happening)

    response = caller.initiate()

    body = response.json()
    assert response.status_code == 202
    assert_shape(body)
    assert (body["status"], body["detail"], body["reference"]) == ("pending", detail, None)


def test_queue_dispatch_answers_202_without_a_call(caller: Caller, configure: Configure) -> None:
    configure(DISPATCH="queue")

    response = caller.initiate()

    assert (response.status_code, response.json()["detail"]) == (202, "queued")


def test_duplicate_start_names_the_first_payment(caller: Caller, gateway: ModelGateway) -> None:
    first = caller.initiate(merchant_reference="order-7").json()

    second = caller.initiate(merchant_reference="order-7", headers={"Idempotency-Key": "another"})

    body = assert_problem(second, 409, "duplicate_payment", members=("payment_id",))
    assert body["payment_id"] == first["id"]
    assert (len(gateway.charges), Payment.objects.count(), IdempotencyRecord.objects.count()) == (1, 1, 0)


def test_same_start_without_a_reference_is_a_duplicate_within_a_minute(
    caller: Caller, gateway: ModelGateway, clock: Clock
) -> None:
    first = caller.initiate().json()
    clock.advance(59)

    again = assert_problem(caller.initiate(), 409, "duplicate_payment", members=("payment_id",))
    other_phone, other_amount = caller.initiate(phone="0161000051"), caller.initiate(amount=5001)
    clock.advance(1)
    later = caller.initiate()

    assert again["payment_id"] == first["id"]
    assert [answer.status_code for answer in (other_phone, other_amount, later)] == [201, 201, 201]


def test_answer_holds_no_personal_details(caller: Caller, gateway: ModelGateway) -> None:
    text = caller.initiate(first_name="Ama", last_name="Doe", email="ama@example.com").content.decode()

    assert [part for part in ("0161000050", "Ama", "Doe", "ama@example.com") if part in text] == []


def test_host_transactions_do_not_delay_the_commit_of_a_payment(
    caller: Caller, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    assert caller.initiate().status_code == 201


def test_answer_is_the_same_for_every_usual_writing_of_a_number(caller: Caller, gateway: ModelGateway) -> None:
    writings = [
        "0161000050",
        "+2290161000050",
        "00229 01 61 00 00 50",
        "229-0161000050",
        "61000050",
        "(229) 61.00.00.50",
    ]

    bodies = [
        caller.initiate(phone=phone, merchant_reference=f"order-{place}").json() for place, phone in enumerate(writings)
    ]

    assert {body["phone"] for body in bodies} == {"+229 01 •• •• •• 50"}
    assert {charge.msisdn for charge in gateway.charges} == {"2290161000050"}


# --- over a real socket ---------------------------------------------------------------------------------


def test_sandbox_accepts_the_payment(caller: Caller, sandbox: RunningSandbox) -> None:
    body = caller.initiate().json()

    assert (body["status"], body["detail"]) == ("pending", "waiting_for_payer")
    assert sandbox.prompts(echo=str(Attempt.objects.get().pk)) == 1


def test_payments_started_while_the_gateway_is_unreachable_settle_later(
    caller: Caller, clock: Clock, configure: Configure, real_socket: None
) -> None:
    with run_sandbox() as sandbox:
        configure(BASE_URL=sandbox.api_url)
        port = int(sandbox.base_url.rsplit(":", 1)[1])
        sandbox.stop()

    started = caller.initiate(phone="0161000000")

    payment_id = started.json()["id"]
    assert (started.status_code, started.json()["detail"]) == (202, "queued")
    assert caller.get(f"{payment_id}/status/").json()["detail"] == "queued"
    assert [row["id"] for row in caller.get("history/").json()["results"]] == [payment_id]

    with run_sandbox(port=port) as sandbox:
        for _ in range(50):
            clock.advance(5)
            sweep()
            if Credit.objects.exists():
                break
        assert sandbox.charges() == 1
    assert caller.get(f"{payment_id}/status/").json()["detail"] == "credited"


def test_next_poll_of_the_client_follows_the_next_poll_of_the_attempt(
    caller: Caller, gateway: ModelGateway, configure: Configure
) -> None:
    configure(POLL_SECONDS="1")
    assert caller.initiate(merchant_reference="a").json()["next_poll_seconds"] == 2  # the lower bound

    configure(POLL_SECONDS="60")
    assert caller.initiate(merchant_reference="b").json()["next_poll_seconds"] == 10  # the upper bound
