"""Security cases of a webhook address. Inherit them in your own tests; they run on your urls and your settings:

class TestOurWebhook(WebhookCases):
    pass
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from django_feexpay import sample_webhooks
from django_feexpay.conf import feexpay
from django_feexpay.models import Credit, Payment, WebhookDelivery
from django_feexpay.python_api import start_payment
from django_feexpay.testing.running import RunningSandbox

Post = Callable[..., int]
Work = Callable[[], int]


@pytest.mark.django_db
class WebhookCases:
    """Needs pytest-django and the app's urls in your project."""

    def start(self, user: Any) -> Payment:
        """Start the payment of a case: 500 F CFA by MTN Benin, on a phone that waits for the test to decide.

        `FEEXPAY["PAYABLE"]` is not asked for the price. Override the method when your receivers need an order: keep
        its argument, start the payment with an ending from 20 to 99 (no magic number), return it.
        """
        with override_settings(FEEXPAY={**settings.FEEXPAY, "PAYABLE": None}):
            return start_payment(user=user, provider="mtn_bj", amount=500, phone="01 61 00 00 50")

    @pytest.fixture
    def payment(self, feexpay_sandbox: RunningSandbox, django_user_model: Any) -> Payment:
        user = django_user_model.objects.create_user(**{django_user_model.USERNAME_FIELD: "payer@example.com"})
        return self.start(user)

    def test_true_webhook_credits_only_after_feexpay_confirmed(
        self, payment: Payment, feexpay_sandbox: RunningSandbox, feexpay_webhook: Post, feexpay_work: Work
    ) -> None:
        feexpay_sandbox.approve(str(payment.attempt.gateway_reference))

        assert feexpay_webhook(payment, "successful") == 200
        assert not credits_of(payment)
        feexpay_work()

        assert credits_of(payment) == 1

    @pytest.mark.parametrize("event", ["successful", "forged", "out_of_order", "v1", "duplicate"])
    def test_webhook_that_feexpay_does_not_confirm_credits_nothing(
        self, payment: Payment, feexpay_webhook: Post, feexpay_work: Work, event: str
    ) -> None:
        assert feexpay_webhook(payment, event) == 200
        feexpay_work()

        assert not credits_of(payment)

    def test_webhook_with_another_amount_credits_what_was_paid(
        self, payment: Payment, feexpay_sandbox: RunningSandbox, feexpay_webhook: Post, feexpay_work: Work
    ) -> None:
        feexpay_sandbox.approve(str(payment.attempt.gateway_reference))
        feexpay_webhook(payment, "forged")
        feexpay_work()

        assert Credit.objects.get(payment=payment).amount == payment.amount

    @pytest.mark.parametrize("event", ["duplicate", "out_of_order"])
    def test_repeated_and_late_webhooks_credit_once(
        self,
        payment: Payment,
        feexpay_settle: Callable[..., Payment],
        feexpay_webhook: Post,
        feexpay_work: Work,
        event: str,
    ) -> None:
        feexpay_settle(payment, "successful")

        assert feexpay_webhook(payment, event) == 200
        feexpay_work()

        payment.refresh_from_db()
        assert (payment.public_status.value, credits_of(payment)) == ("successful", 1)

    def test_unsigned_webhook_is_refused_where_a_proof_is_required(
        self, payment: Payment, feexpay_webhook: Post, feexpay_work: Work
    ) -> None:
        proof_is_required = any(mode != "status" for mode in feexpay.webhook_modes)

        assert feexpay_webhook(payment, "unsigned") == (401 if proof_is_required else 200)
        feexpay_work()

        assert not credits_of(payment)

    @pytest.mark.parametrize("event", ["unknown_reference", "payment_history"])
    def test_webhook_about_no_payment_of_yours_is_accepted_and_credits_nothing(
        self, payment: Payment, feexpay_webhook: Post, event: str
    ) -> None:
        assert feexpay_webhook(payment, event) == 200
        assert not credits_of(payment)

    @pytest.mark.parametrize(("event", "code"), [("broken", 400), ("too_large", 413)])
    def test_malformed_body_is_refused_and_not_stored(
        self, payment: Payment, feexpay_webhook: Post, event: str, code: int
    ) -> None:
        assert feexpay_webhook(payment, event) == code
        assert not WebhookDelivery.objects.exists()

    def test_stored_webhook_holds_no_phone_number(self, payment: Payment, feexpay_webhook: Post) -> None:
        (sent,) = sample_webhooks.deliveries(payment.attempt, "successful")
        feexpay_webhook(payment, "successful")

        (stored,) = WebhookDelivery.objects.all()
        number = sample_webhooks.number_of(payment.attempt)
        assert number
        assert number.encode() in sent.raw
        assert number not in str(stored.body)


def credits_of(payment: Payment) -> int:
    return Credit.objects.filter(payment=payment).count()
