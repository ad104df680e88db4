"""feexpay_trigger posts sample webhooks to the project's own address; neither FeexPay nor a sandbox runs."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer

import django_feexpay
from django_feexpay import conf, sample_webhooks
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Payment, WebhookDelivery
from django_feexpay.testing.running import RunningSandbox
from tests.conftest import Configure
from tests.sandbox.receiver import receive_webhooks

pytestmark = pytest.mark.django_db

MODES = {"WEBHOOK_MODES": "hmac", "WEBHOOK_SECRETS": ["hmac:a secret of 24 bytes or more"]}


@pytest.fixture
def payment(feexpay_sandbox: RunningSandbox, django_user_model: Any, configure: Configure) -> Payment:
    configure(PAYABLE="any_amount")
    user = django_user_model.objects.create_user("ama")
    return django_feexpay.start_payment(user=user, provider="mtn_bj", amount=500, phone="01 61 00 00 50")


def trigger(*arguments: str) -> str:
    out = io.StringIO()
    call_command("feexpay_trigger", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("event", sample_webhooks.EVENTS)
@pytest.mark.parametrize("modes", [{}, MODES], ids=["status only", "hmac"])
def test_every_event_is_answered_correctly_and_credits_nothing(
    payment: Payment, configure: Configure, event: str, modes: dict[str, Any]
) -> None:
    configure(**modes)

    output = trigger(event)

    code = {"broken": 400, "too_large": 413}.get(event, 401 if event == "unsigned" and modes else 200)
    assert f"{event}: {code} " in output
    assert str(payment.pk) in output
    assert Credit.objects.count() == 0
    assert Attempt.objects.get().status == Status.PENDING


def test_triggered_webhook_makes_its_payment_due(payment: Payment) -> None:
    trigger("successful", "--payment", str(payment.pk))

    stored = WebhookDelivery.objects.get()
    assert stored.attempt == payment.attempt
    next_poll_at = Attempt.objects.get().next_poll_at
    assert next_poll_at is not None
    assert next_poll_at <= conf.now()


def test_duplicates_are_counted_and_older_statuses_are_stored(payment: Payment) -> None:
    trigger("duplicate")
    assert WebhookDelivery.objects.get().repeat_count == 2
    trigger("out_of_order")
    assert set(WebhookDelivery.objects.values_list("reported_status", flat=True)) == {"SUCCESSFUL", "PENDING", "FAILED"}


def test_payment_is_found_by_its_reference_in_either_case(payment: Payment) -> None:
    assert str(payment.pk) in trigger("pending", "--reference", str(payment.attempt.gateway_reference).upper())


def test_list_names_every_event() -> None:
    output = trigger("--list")
    assert [line.split()[0] for line in output.splitlines()] == list(sample_webhooks.EVENTS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Which event"),
        (("paid",), "invalid choice: 'paid'"),
        (("successful", "--payment", "7"), "'7' is not the id of a payment"),
        (("successful", "--payment", "8f14e45f-ceea-4671-8b8d-1e6d5f0c0f4e"), "No such payment has"),
        (("successful", "--reference", "nobody"), "No such payment has"),
        (("successful", "--url", "http://127.0.0.1:9/"), "No answer from http://127.0.0.1:9/"),
    ],
)
def test_error_says_why_nothing_was_sent(payment: Payment, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        trigger(*arguments)


def test_error_without_a_payment_says_what_to_do(db: None) -> None:
    with pytest.raises(CommandError, match="Start a payment first"):
        trigger("successful")


def test_error_names_the_mode_without_a_secret(payment: Payment, configure: Configure) -> None:
    configure(WEBHOOK_MODES="header", WEBHOOK_SECRETS=["hmac:only for another mode"])
    with pytest.raises(CommandError, match="lists header"):
        trigger("successful")


@override_settings(ROOT_URLCONF="tests.testing.no_urls")
def test_error_says_that_the_urls_are_missing(payment: Payment) -> None:
    with pytest.raises(CommandError, match="has no webhook URL"):
        trigger("successful")


@override_settings(ALLOWED_HOSTS=[".shop.example"], SECURE_SSL_REDIRECT=True)
def test_webhook_uses_https_and_an_allowed_host(payment: Payment) -> None:
    assert "successful: 200" in trigger("successful")


def test_wrong_answer_fails_the_command(payment: Payment) -> None:
    with receive_webhooks() as shop:
        shop.answer = lambda _received: 500
        with pytest.raises(CommandError, match="should have answered 200"):
            trigger("successful", "--url", shop.url)
        assert shop.about(str(payment.attempt.gateway_reference))


@pytest.mark.django_db(transaction=True)
def test_webhook_goes_over_http_to_a_given_address(
    payment: Payment, live_server: LiveServer, configure: Configure
) -> None:
    configure(**MODES)
    output = trigger("successful", "--url", f"{live_server.url}/api/v1/payments/feexpay/webhook/")
    assert "successful: 200 stored" in output
    assert WebhookDelivery.objects.get().attempt == payment.attempt
