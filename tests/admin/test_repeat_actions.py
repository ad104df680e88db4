"""A signal is sent again with its event id; a webhook is processed again by asking FeexPay; orders are released."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_feexpay import conf
from django_feexpay.models import OutboxMessage, Payment, StaffAction
from django_feexpay.payments import outbox, refunds
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.signals import payment_failed
from tests.admin.conftest import StaffClient, StartPayment, deliver, page_of
from tests.admin.recording_transport import RecordingGateway

pytestmark = pytest.mark.django_db

MESSAGES = "/admin/feexpay/outboxmessage/"
DELIVERIES = "/admin/feexpay/webhookdelivery/"


def chosen(*messages: OutboxMessage) -> str:
    return "&".join(f"outboxmessage={message.pk}" for message in messages)


def confirm(client: Client, url: str) -> list[str]:
    answer = client.post(url, {"reason": "the shop was down"}, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


def test_delivered_signal_is_sent_again_once_with_the_same_event_id(
    staff_client: StaffClient, start_failed: StartPayment
) -> None:
    seen: list[Any] = []

    def receiver(event_id: Any, **kwargs: Any) -> None:
        seen.append(event_id)

    payment_failed.connect(receiver)
    try:
        start_failed()
        outbox.deliver()
        message = OutboxMessage.objects.get()
        client = staff_client("view_outboxmessage", "resend_signal")

        said = confirm(client, f"{MESSAGES}send_again/?outboxmessage={message.pk}")
        outbox.deliver()
        outbox.deliver()
    finally:
        payment_failed.disconnect(receiver)

    assert said == ["Send the signal again: 1 done, 0 skipped, 0 failed."]
    assert seen == [message.event_id, message.event_id]
    message.refresh_from_db()
    assert message.delivered_at is not None
    action = StaffAction.objects.get()
    assert (action.action, action.reason, action.payment_id) == (
        "resend_signal",
        "the shop was down",
        message.payment_id,
    )


def test_waiting_signal_is_due_now_and_keeps_its_receipts(superuser_client: Client, start_failed: StartPayment) -> None:
    start_failed()
    message = OutboxMessage.objects.get()
    message.receipts.create(receiver="shop.receivers.mail")
    OutboxMessage.objects.update(next_delivery_at=conf.now() + outbox.LEASE * 10, last_error="ValueError: shop")

    confirm(superuser_client, f"{MESSAGES}send_again/?outboxmessage={message.pk}")

    message.refresh_from_db()
    assert message.next_delivery_at is not None
    assert message.next_delivery_at <= conf.now()
    assert message.receipts.count() == 1


def test_signal_that_is_due_is_left_to_its_worker(superuser_client: Client, start_failed: StartPayment) -> None:
    start_failed()
    message = OutboxMessage.objects.get()

    said = confirm(superuser_client, f"{MESSAGES}send_again/?outboxmessage={message.pk}")

    assert said[0] == "Send the signal again: 0 done, 1 skipped, 0 failed."
    action = StaffAction.objects.get()
    assert (action.action, action.result, action.payment_id) == ("resend_signal", "skipped", message.payment_id)


def test_audit_list_tells_which_rows_of_a_bulk_act_were_skipped(
    staff_client: StaffClient, start_failed: StartPayment
) -> None:
    start_failed()
    start_failed()
    OutboxMessage.objects.order_by("pk").filter(pk=OutboxMessage.objects.earliest("pk").pk).update(
        next_delivery_at=conf.now() + outbox.LEASE * 10
    )
    later, due = OutboxMessage.objects.order_by("pk")

    confirm(staff_client("view_outboxmessage", "resend_signal"), f"{MESSAGES}send_again/?{chosen(later, due)}")

    done, skipped = StaffAction.objects.order_by("pk")
    assert (done.result, done.target) == ("done", f"outboxmessage:{later.pk}")
    assert (skipped.result, skipped.target, skipped.reason) == (
        "skipped",
        f"outboxmessage:{due.pk}",
        "the shop was down",
    )
    assert skipped.detail == {"done": 1, "skipped": 1, "failed": 0}


def test_webhook_is_processed_again_by_asking_feexpay(staff_client: StaffClient, start_payment: StartPayment) -> None:
    payment = start_payment()
    delivery = deliver(payment.attempt)
    client = staff_client("view_webhookdelivery", "reprocess_delivery")

    said = confirm(client, f"{DELIVERIES}process_again/?webhookdelivery={delivery.pk}")

    assert said == ["Process again: 1 done, 0 skipped, 0 failed."]
    attempt = Payment.objects.get().attempt
    assert (attempt.status, attempt.next_poll_at is not None) == ("pending", True)
    assert attempt.next_poll_at is not None
    assert attempt.next_poll_at <= conf.now()
    action = StaffAction.objects.get()
    assert (action.action, action.payment_id) == ("redeliver", payment.pk)


def test_unmatched_webhook_is_matched_by_its_reference(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()
    delivery = deliver(None, gateway_reference=str(payment.attempt.gateway_reference).lower())

    confirm(superuser_client, f"{DELIVERIES}process_again/?webhookdelivery={delivery.pk}")

    delivery.refresh_from_db()
    assert delivery.attempt == payment.attempt


def test_webhook_about_nothing_we_know_is_skipped(superuser_client: Client) -> None:
    delivery = deliver(None, gateway_reference="STRAY-1")

    said = confirm(superuser_client, f"{DELIVERIES}process_again/?webhookdelivery={delivery.pk}")

    assert said[0] == "Process again: 0 done, 1 skipped, 0 failed."
    assert "names no attempt" in said[1]
    assert (StaffAction.objects.get().action, StaffAction.objects.get().result) == ("redeliver", "skipped")


@pytest.mark.parametrize(
    ("url", "held"),
    [
        (f"{MESSAGES}send_again/?outboxmessage=", ["view_outboxmessage"]),
        (f"{DELIVERIES}process_again/?webhookdelivery=", ["view_webhookdelivery"]),
        ("/admin/feexpay/payment/release/?payment=", ["view_payment"]),
    ],
)
def test_each_action_needs_its_own_permission(url: str, held: list[str], staff_client: StaffClient) -> None:
    client = staff_client(*held)

    assert client.get(f"{url}1").status_code == 403
    assert client.post(f"{url}1", {"reason": "x"}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_order_that_may_still_be_paid_is_not_released(staff_client: StaffClient, start_payment: StartPayment) -> None:
    payment = start_payment()
    client = staff_client("view_payment", "release_order")
    assert "Release the order" not in client.get(page_of(payment)).content.decode()

    said = confirm(client, f"/admin/feexpay/payment/release/?payment={payment.pk}")

    assert said[0] == "Release the order: 0 done, 1 skipped, 0 failed."
    assert "may still succeed" in said[1]
    action = StaffAction.objects.get()
    assert (action.action, action.result, action.payment_id) == ("release_order", "skipped", payment.pk)


@pytest.mark.django_db(transaction=True)
def test_refunded_order_is_released_from_the_page_of_its_payment(
    staff_client: StaffClient, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    gateway.statuses[str(payment.attempt.gateway_reference)] = "SUCCESSFUL"
    reconcile(payment.attempt.pk, source=Source.WORKER)
    client = staff_client("view_payment", "release_order")
    address = f"/admin/feexpay/payment/release/?payment={payment.pk}"
    assert address not in client.get(page_of(payment)).content.decode()
    refunds.record(payment.pk, amount=5000, way="cash", reason="given back", actor="1", source=Source.ADMIN)
    assert address in client.get(page_of(payment)).content.decode()

    assert confirm(client, address) == ["Release the order: 1 done, 0 skipped, 0 failed."]

    payment.refresh_from_db()
    assert payment.released_at is not None
    assert address not in client.get(page_of(payment)).content.decode()
