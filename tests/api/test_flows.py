"""The flows of a client: OTP, the operator's page, and FeexPay's page for cards."""

from __future__ import annotations

from typing import Any

import pytest

from django_feexpay.models import Attempt, Payment
from tests.api.caller import Caller, assert_problem, row_counts
from tests.payments.fake_gateway import ModelGateway, accept_as, cannot_reach, lose_the_page, refuse, reply
from tests.payments.fakes import Clock, next_due_at, sweep, sweep_at_next_poll

pytestmark = pytest.mark.django_db(transaction=True)

CODE = {"otp": "123456"}


@pytest.fixture
def awaiting(caller: Caller, gateway: ModelGateway, clock: Clock) -> str:
    """A payment that waits for the code sent to its payer."""
    return str(caller.initiate(provider="coris_bj").json()["id"])


# --- a code before the start ------------------------------------------------------------------------------


def test_provider_that_needs_a_code_first_requires_it(caller: Caller, gateway: ModelGateway) -> None:
    response = caller.initiate(provider="orange_bf", phone="74 00 00 50")

    assert_problem(response, 400, "validation_error", field="otp")
    assert (gateway.charges, Payment.objects.count()) == ([], 0)


def test_first_code_is_sent_with_the_start(caller: Caller, gateway: ModelGateway) -> None:
    response = caller.initiate(provider="orange_bf", phone="74 00 00 50", **CODE)

    assert (response.status_code, response.json()["detail"]) == (201, "waiting_for_payer")
    assert gateway.last().code == "123456"


def test_wrong_first_code_refuses_the_start(caller: Caller, gateway: ModelGateway) -> None:
    gateway.next_collects = [refuse("INVALID_OTP")]

    body = caller.initiate(provider="orange_bf", phone="74 00 00 50", otp="000000").json()

    assert (body["status"], body["detail"], body["reason"]["code"]) == ("failed", "refused", "otp_rejected")
    assert caller.post(f"retry/{body['id']}/", CODE).status_code == 201


# --- a code after the start ------------------------------------------------------------------------------------


def test_code_after_the_start_is_accepted(caller: Caller, gateway: ModelGateway, awaiting: str) -> None:
    before = caller.get(f"{awaiting}/status/").json()
    response = caller.post(f"{awaiting}/otp/", CODE)

    assert (before["detail"], before["otp_required"]) == ("otp_required", True)
    body = response.json()
    assert (response.status_code, body["id"], body["detail"]) == (200, awaiting, "waiting_for_payer")
    assert (body["otp_required"], gateway.last().code) == (False, "123456")


def test_second_code_after_acceptance_is_a_conflict(caller: Caller, gateway: ModelGateway, awaiting: str) -> None:
    caller.post(f"{awaiting}/otp/", CODE)

    body = assert_problem(caller.post(f"{awaiting}/otp/", CODE), 409, "otp_not_expected", members=("payment_id",))
    assert body["payment_id"] == awaiting
    assert len(gateway.charges) == 2


def test_code_with_a_key_is_sent_once_and_gets_the_same_answer(
    caller: Caller, gateway: ModelGateway, awaiting: str
) -> None:
    key = {"Idempotency-Key": "tap"}

    first, second = (caller.post(f"{awaiting}/otp/", CODE, headers=key) for _ in range(2))
    other = caller.post(f"{awaiting}/otp/", {"otp": "654321"}, headers=key)

    assert (first.status_code, second.status_code, first.content) == (200, 200, second.content)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert_problem(other, 422, "idempotency_mismatch")
    assert len(gateway.charges) == 2


def test_refused_code_is_reported_and_another_is_accepted(caller: Caller, gateway: ModelGateway, awaiting: str) -> None:
    gateway.next_collects = [refuse("INVALID_OTP")]
    key = {"Idempotency-Key": "tap"}

    refused = caller.post(f"{awaiting}/otp/", {"otp": "000000"}, headers=key)

    assert_problem(refused, 422, "otp_rejected", members=("payment_id",))
    assert caller.get(f"{awaiting}/status/").json()["detail"] == "otp_required"
    assert caller.post(f"{awaiting}/otp/", CODE, headers={"Idempotency-Key": "tap 2"}).status_code == 200


def test_code_that_did_not_arrive_may_be_sent_again_with_the_same_key(
    caller: Caller, gateway: ModelGateway, awaiting: str
) -> None:
    gateway.next_collects = [cannot_reach]
    key = {"Idempotency-Key": "tap"}

    lost = caller.post(f"{awaiting}/otp/", CODE, headers=key)

    assert_problem(lost, 503, "gateway_unavailable", members=("payment_id",))
    assert lost.headers["Retry-After"] == "5"
    assert caller.post(f"{awaiting}/otp/", CODE, headers=key).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"otp": 123456}, {"otp": ""}, {"otp": "1;2"}, {"otp": "1" * 41}, {"otp": None}, {**CODE, "phone": "1"}]
)
def test_body_without_a_valid_code_changes_nothing(
    caller: Caller, gateway: ModelGateway, awaiting: str, body: dict[str, Any]
) -> None:
    before = row_counts()

    response = caller.post(f"{awaiting}/otp/", body)

    assert_problem(response, 400, "validation_error")
    assert (row_counts(), len(gateway.charges)) == (before, 1)


# --- payment pages ---------------------------------------------------------------------------------------------------


def test_redirect_url_is_shown_only_while_pending(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [accept_as("wave-1", payment_url="https://pay.wave.example/1")]
    urls = {"return_url": "https://testserver/back", "cancel_url": "https://testserver/no"}

    body = caller.initiate(provider="wave_ci", phone="07 00 00 00 50", **urls).json()

    assert (body["detail"], body["redirect_url"]) == ("redirect", "https://pay.wave.example/1")
    gateway.last().approve()
    sweep_at_next_poll(clock)
    settled = caller.get(f"{body['id']}/status/").json()
    assert (settled["status"], settled["redirect_url"]) == ("successful", None)


@pytest.mark.parametrize(
    ("provider", "phone", "page"),
    [("wave_ci", "0701020304", "https://pay.wave.example/1"), ("coris_bj", "0161000050", None)],
)
def test_payment_under_review_offers_no_page_and_no_code(
    caller: Caller, gateway: ModelGateway, clock: Clock, provider: str, phone: str, page: str | None
) -> None:
    """FeexPay took another amount: on the page, or with another code, the payer could pay once more."""
    gateway.next_collects = [accept_as("ref-page", payment_url=page)] if page else []
    body = caller.initiate(provider=provider, phone=phone).json()
    assert (body["redirect_url"], body["otp_required"]) == (page, page is None)
    gateway.last().approve()
    gateway.last().lies["amount"] = 4999

    sweep_at_next_poll(clock)

    reviewed = caller.get(f"{body['id']}/status/").json()
    assert reviewed["detail"] == "under_review"
    assert (reviewed["redirect_url"], reviewed["otp_required"]) == (None, False)


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.example/",
        "http://testserver/",
        "https://testserver@elsewhere.example/",
        "https://testserver.elsewhere.example/",
        "https://elsewhere.example/testserver",
        "https://testserver\\@elsewhere.example/",
        "https://elsewhere.example\\testserver/",
        "https://testserver/a\nb",
        "https://test\tserver/",
        "https://testserver/ b",
        "https:testserver/",
        "//testserver/",
        "javascript:alert(1)//testserver",
        "data:text/html,testserver",
        "https://[testserver/",
        "https://testserver:nought/",
        "https://testserver/é",
        "https://täst/",
    ],
)
def test_return_url_to_another_host_is_refused(caller: Caller, gateway: ModelGateway, address: str) -> None:
    response = caller.initiate(provider="wave_ci", phone="07 00 00 00 50", return_url=address)

    assert_problem(response, 400, "validation_error", field="return_url")
    assert (gateway.charges, Payment.objects.count()) == ([], 0)


@pytest.mark.parametrize("address", ["https://testserver/back?x=1#here", "https://TESTSERVER:8443/back"])
def test_return_url_to_the_host_of_the_request_is_accepted(caller: Caller, gateway: ModelGateway, address: str) -> None:
    assert caller.initiate(provider="wave_ci", phone="07 00 00 00 50", return_url=address).status_code == 201


def test_card_needs_no_phone_and_gets_a_page(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    response = caller.initiate(provider="mastercard", phone=None)

    body = response.json()
    assert (response.status_code, body["status"], body["detail"]) == (201, "pending", "redirect")
    assert (body["redirect_url"], body["reference"]) == ("https://link.example/page0001/coins", None)
    assert (body["phone"], body["country"]) == ("", None)
    gateway.pay_on_page().approve()
    clock.advance(5)
    assert caller.get(f"{body['id']}/status/").json()["status"] == "successful"


@pytest.mark.parametrize("phone", ["+229 01 61 00 00 50", "", "nonsense"])
def test_phone_sent_with_a_card_is_ignored_and_not_stored(
    caller: Caller, gateway: ModelGateway, clock: Clock, phone: str
) -> None:
    """A form that always sends the phone works, for the start and for the retry."""
    body = caller.initiate(provider="visa", phone=phone).json()

    assert (body["detail"], body["phone"]) == ("redirect", "")
    gateway.pay_on_page().decline()
    clock.advance(900)
    while due_at := next_due_at():
        if caller.get(f"{body['id']}/status/").json()["status"] == "failed":
            break
        clock.advance_to(due_at)
        sweep()
    assert caller.post(f"retry/{body['id']}/", {"phone": phone or "x"}).status_code == 201
    assert Attempt.objects.count() == 2
    kept = Attempt.objects.values_list("masked_msisdn", "msisdn_hash", "msisdn_sealed")
    assert set(kept) == {("", "", None)}
    assert all("phone" not in page and "61000050" not in str(page) for page in gateway.pages)


@pytest.mark.parametrize("phone", [161000050, None, "0" * 41, ["0161000050"]], ids=["number", "null", "long", "list"])
def test_phone_sent_with_a_card_is_still_validated(caller: Caller, gateway: ModelGateway, phone: object) -> None:
    body = {"provider": "visa", "amount": 5000, "phone": phone}

    assert_problem(caller.post("initiate/", body), 400, "validation_error", field="phone")
    assert gateway.pages == []


def test_two_card_starts_are_one_payment(caller: Caller, gateway: ModelGateway) -> None:
    first = caller.initiate(provider="visa", phone=None).json()["id"]

    body = assert_problem(
        caller.initiate(provider="visa", phone=None), 409, "duplicate_payment", members=("payment_id",)
    )
    assert (body["payment_id"], len(gateway.pages)) == (first, 1)


def test_payment_whose_page_is_not_made_yet_is_queued(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_pages = [lose_the_page]
    response = caller.initiate(provider="visa", phone=None)
    assert (response.status_code, response.json()["detail"]) == (202, "queued")

    sweep_at_next_poll(clock)

    assert caller.get(f"{response.json()['id']}/status/").json()["detail"] == "redirect"


@pytest.mark.parametrize("provider", ["orange_ml", "mtn_ci", "coris_bj"])
def test_page_in_the_answer_overrides_the_flow_of_the_row(caller: Caller, gateway: ModelGateway, provider: str) -> None:
    number = {"orange_ml": "70 00 00 50", "mtn_ci": "05 00 00 00 50", "coris_bj": "01 97 00 00 50"}[provider]
    gateway.next_collects = [lambda charge: reply(200, {"reference": "r-1", "payment_url": "https://pay.example/"})]

    body = caller.initiate(provider=provider, phone=number).json()

    assert (body["detail"], body["otp_required"]) == ("redirect", False)
