"""A delivery is stored and makes its attempt due. Its content is not believed, and no call is made."""

from __future__ import annotations

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from django_feexpay import conf
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Attempt, Credit, Payment, PaymentEvent, WebhookDelivery
from tests.api.caller import BASE, Caller, row_counts
from tests.conftest import Configure
from tests.payments.fake_gateway import Charge, ModelGateway, accept, lose_the_answer
from tests.payments.fakes import Clock, sweep, sweep_at_next_poll
from tests.sandbox.running import run_sandbox
from tests.webhooks.webhook_requests import delivery, post_webhook

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def attempt(caller: Caller, gateway: ModelGateway, clock: Clock) -> Attempt:
    """An attempt that waits for its payer, with the reference `ref-0001`."""
    caller.initiate()
    return Attempt.objects.get()


def is_due(attempt: Attempt) -> bool:
    attempt.refresh_from_db()
    return attempt.next_poll_at is not None and attempt.next_poll_at <= conf.now()


def test_delivery_is_stored_and_its_attempt_is_due_at_once(attempt: Attempt, gateway: ModelGateway) -> None:
    assert not is_due(attempt)

    assert post_webhook(delivery("ref-0001")).status_code == 200

    stored = WebhookDelivery.objects.get()
    assert (stored.attempt, stored.gateway_reference, stored.reported_status) == (attempt, "ref-0001", "SUCCESSFUL")
    assert (stored.repeat_count, stored.event_type) == (0, "payment")
    assert is_due(attempt)
    assert gateway.questions == 0


@pytest.mark.parametrize("claim", ["SUCCESSFUL", "FAILED", "PENDING", "REVERSED", ""])
@pytest.mark.parametrize("amount", [5000, 5_000_000, -1, "5000", None])
def test_claim_of_a_delivery_decides_nothing(attempt: Attempt, gateway: ModelGateway, claim: str, amount: Any) -> None:
    post_webhook(delivery("ref-0001", claim, amount=amount, callback_info=str(attempt.pk)))
    sweep()

    attempt.refresh_from_db()
    assert (attempt.status, Payment.objects.get().status) == ("pending", "pending")
    assert Credit.objects.count() == 0


def test_true_success_is_credited_after_a_poll(attempt: Attempt, gateway: ModelGateway) -> None:
    gateway.last().approve()
    post_webhook(delivery("ref-0001"))
    assert Credit.objects.count() == 0

    sweep()

    assert Credit.objects.get().amount == 5000


def test_order_of_deliveries_changes_nothing(caller: Caller, gateway: ModelGateway, clock: Clock) -> None:
    ends = set()
    for order in itertools.permutations(["SUCCESSFUL", "PENDING", "FAILED"]):
        payment_id = caller.initiate(merchant_reference="-".join(order)).json()["id"]
        charge = gateway.last()
        charge.approve()
        for status in order:
            post_webhook(delivery(charge.reference, status))
            sweep()
            clock.advance(3)
        ends.add(Payment.objects.get(pk=payment_id).status)

    assert ends == {"successful"}
    assert Credit.objects.count() == 6


def test_repeated_delivery_is_counted_and_makes_its_attempt_due_again(
    attempt: Attempt, gateway: ModelGateway, clock: Clock
) -> None:
    post_webhook(delivery("ref-0001"))
    sweep()
    clock.advance(3)
    assert not is_due(attempt)

    response = post_webhook(delivery("ref-0001"))

    assert (response.status_code, response.json()) == (200, {"received": True})
    assert WebhookDelivery.objects.get().repeat_count == 1
    assert is_due(attempt)


def test_other_white_space_or_key_order_is_the_same_delivery() -> None:
    body = delivery()

    post_webhook(json.dumps(body).encode())
    post_webhook(json.dumps(dict(reversed(body.items())), indent=2).encode())

    assert WebhookDelivery.objects.get().repeat_count == 1


@pytest.mark.postgres_only
def test_hundred_copies_at_once_make_one_row(attempt: Attempt) -> None:
    together = threading.Barrier(10)

    def send(_number: int) -> list[int]:
        together.wait()
        codes = [post_webhook(delivery("ref-0001")).status_code for _ in range(10)]
        connection.close()
        return codes

    with ThreadPoolExecutor(10) as threads:
        codes = list(itertools.chain.from_iterable(threads.map(send, range(10))))

    assert codes == [200] * 100
    assert WebhookDelivery.objects.get().repeat_count == 99


def test_flood_causes_one_poll_in_three_seconds(attempt: Attempt, gateway: ModelGateway, clock: Clock) -> None:
    for number in range(60):
        post_webhook(delivery("ref-0001", ref_operator=str(number)))
        sweep()
        clock.advance(0.25)

    # 15 seconds: at 0, 3, 6, 9 and 12.
    assert gateway.questions == 5


@pytest.mark.parametrize("status", ["failed", "expired", "review"])
def test_settled_attempt_is_polled_again(attempt: Attempt, gateway: ModelGateway, clock: Clock, status: str) -> None:
    settle_as(status, gateway, clock)
    attempt.refresh_from_db()
    assert attempt.status == status
    clock.advance(10)

    post_webhook(delivery("ref-0001"))

    assert is_due(attempt)


def settle_as(status: str, gateway: ModelGateway, clock: Clock) -> None:
    if status == "failed":
        gateway.last().decline()
    if status == "review":
        gateway.last().lies = {"status": "SUCCESSFUL", "amount": 1}
    if status == "expired":
        clock.advance(900)
    sweep_at_next_poll(clock)


def test_late_success_after_a_failure_is_credited(attempt: Attempt, gateway: ModelGateway, clock: Clock) -> None:
    gateway.last().decline()
    sweep_at_next_poll(clock)
    gateway.last().approve()
    clock.advance(10)

    post_webhook(delivery("ref-0001"))
    sweep()

    assert Payment.objects.get().status == "successful"


def test_credited_attempt_is_not_changed(attempt: Attempt, gateway: ModelGateway, clock: Clock) -> None:
    gateway.last().approve()
    sweep_at_next_poll(clock)
    clock.advance(10)
    asked, events = gateway.questions, PaymentEvent.objects.count()

    post_webhook(delivery("ref-0001", "FAILED"))
    sweep()

    assert (gateway.questions, PaymentEvent.objects.count()) == (asked, events)
    assert Credit.objects.count() == 1


# --- an unknown reference --------------------------------------------------------------------


def test_unknown_reference_is_stored_unmatched_and_causes_no_poll(gateway: ModelGateway) -> None:
    assert post_webhook(delivery("unknown")).status_code == 200

    sweep()

    assert WebhookDelivery.objects.get().attempt is None
    assert gateway.questions == 0


def test_number_of_unmatched_deliveries_is_limited(configure: Configure) -> None:
    configure(UNKNOWN_WEBHOOKS_KEPT=3)

    codes = [post_webhook(delivery(f"made-up-{number}")).status_code for number in range(6)]

    assert codes == [200] * 6
    assert WebhookDelivery.objects.count() == 3


def test_delivery_before_the_answer_to_initiate_finds_its_attempt(
    caller: Caller, gateway: ModelGateway, clock: Clock
) -> None:
    def webhook_first(charge: Charge) -> WireReply:
        charge.approve()
        assert post_webhook(delivery(charge.reference)).status_code == 200
        assert WebhookDelivery.objects.get().attempt is None
        return accept(charge)

    gateway.next_collects.append(webhook_first)
    payment_id = caller.initiate().json()["id"]

    assert WebhookDelivery.objects.get().attempt == Attempt.objects.get()
    assert is_due(Attempt.objects.get())
    sweep()
    assert caller.get(f"{payment_id}/status/").json()["detail"] == "credited"


def test_delivery_for_a_lost_answer_finds_its_attempt_later(
    caller: Caller, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects.append(lose_the_answer)
    caller.initiate()
    post_webhook(delivery(gateway.last().reference))
    gateway.last().approve()

    sweep_at_next_poll(clock)

    assert WebhookDelivery.objects.get().attempt == Attempt.objects.get()
    assert Credit.objects.count() == 1


def test_event_about_a_finished_export_is_accepted() -> None:
    body = {"type": "payment_history", "status": "completed", "row_count": 12, "result_url": "https://example.com/x"}

    assert post_webhook(body).status_code == 200

    stored = WebhookDelivery.objects.get()
    assert (stored.event_type, stored.gateway_reference, stored.attempt) == ("payment_history", "", None)


# --- stored data -------------------------------------------------------------------------------------------


def test_no_personal_data_is_stored(attempt: Attempt) -> None:
    nested = {"payer": {"partyId": "2290161000050"}, "extra": {"name": "Ama Doe"}}
    post_webhook(delivery("ref-0001", reason="called +2290161000050", **nested))

    kept = json.dumps(list(WebhookDelivery.objects.values()), default=str)

    for secret in ("Ama", "Doe", "ama@example.com", "0161000050", "500 coins"):
        assert secret not in kept
    assert WebhookDelivery.objects.get().body["amount"] == 5000


def test_delivery_writes_its_row_and_no_other(attempt: Attempt) -> None:
    before = row_counts()

    post_webhook(delivery("ref-0001"))

    assert row_counts() == before | {"feexpay.WebhookDelivery": 1}


# --- webhooks of the sandbox --------------------------------------------------------------------------------------


@pytest.mark.postgres_only
def test_webhook_that_arrives_before_the_answer_over_real_sockets(
    caller: Caller, live_server: LiveServer, configure: Configure, real_socket: None
) -> None:
    with run_sandbox(webhook_url=f"{live_server.url}{BASE}webhook/") as sandbox:
        configure(BASE_URL=sandbox.api_url)
        payment_id = caller.initiate(phone="0161000008").json()["id"]
        stored = WebhookDelivery.objects.get()
        sweep()
        charges = sandbox.charges()

    assert stored.attempt == Attempt.objects.get()
    assert caller.get(f"{payment_id}/status/").json()["detail"] == "credited"
    assert charges == 1


@pytest.mark.postgres_only
def test_forged_success_of_the_sandbox_is_not_credited(
    caller: Caller, live_server: LiveServer, configure: Configure, real_socket: None
) -> None:
    with run_sandbox(webhook_url=f"{live_server.url}{BASE}webhook/") as sandbox:
        configure(BASE_URL=sandbox.api_url)
        payment_id = caller.initiate(phone="0161000014").json()["id"]
        wait_for_a_delivery()
        Attempt.objects.update(next_poll_at=conf.now() - timedelta(seconds=1))
        sweep()

        assert WebhookDelivery.objects.get().reported_status == "SUCCESSFUL"
        assert caller.get(f"{payment_id}/status/").json()["detail"] == "waiting_for_payer"
        assert Credit.objects.count() == 0


def wait_for_a_delivery() -> None:
    give_up_at = time.monotonic() + 60
    while not WebhookDelivery.objects.exists():
        assert time.monotonic() < give_up_at, "the sandbox delivered nothing"
        time.sleep(0.02)
