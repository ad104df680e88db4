"""What every webhook address must keep. Inherit it in your own tests, on your own urls and settings:

class TestOurWebhook(WebhookCases):
    pass

Each case starts a payment by `start`, which you override where your shop sets prices or wants more than an amount.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_feexpay import sample_webhooks
from django_feexpay.conf import feexpay
from django_feexpay.models import Credit, Payment, WebhookDelivery
from django_feexpay.python_api import start_payment
from django_feexpay.testing.running import RunningSandbox

Post = Callable[..., int]
Work = Callable[[], int]


@pytest.mark.django_db
class WebhookCases:
    """The security cases. They need `pytest-django`, the app's urls mounted, and nothing else."""

    def start(self, user: Any) -> Payment:
        """A payment that waits for its payer: a number with this ending asks nobody but the sandbox's page."""
        return start_payment(user=user, provider="mtn_bj", amount=500, phone="01 61 00 00 50")

    @pytest.fixture
    def payment(self, feexpay_sandbox: RunningSandbox, django_user_model: Any) -> Payment:
        user = django_user_model.objects.create_user(**{django_user_model.USERNAME_FIELD: "payer@example.com"})
        return self.start(user)

    def test_true_news_is_credited_after_feexpay_was_asked(
        self, payment: Payment, feexpay_sandbox: RunningSandbox, feexpay_webhook: Post, feexpay_work: Work
    ) -> None:
        feexpay_sandbox.approve(str(payment.attempt.gateway_reference))

        assert feexpay_webhook(payment, "successful") == 200
        assert not credits_of(payment)
        feexpay_work()

        assert credits_of(payment) == 1

    @pytest.mark.parametrize("event", ["successful", "forged", "out_of_order", "v1", "duplicate"])
    def test_a_claim_that_feexpay_does_not_confirm_credits_nothing(
        self, payment: Payment, feexpay_webhook: Post, feexpay_work: Work, event: str
    ) -> None:
        assert feexpay_webhook(payment, event) == 200
        feexpay_work()

        assert not credits_of(payment)

    def test_a_claim_of_another_amount_credits_what_was_paid(
        self, payment: Payment, feexpay_sandbox: RunningSandbox, feexpay_webhook: Post, feexpay_work: Work
    ) -> None:
        feexpay_sandbox.approve(str(payment.attempt.gateway_reference))
        feexpay_webhook(payment, "forged")
        feexpay_work()

        assert Credit.objects.get(payment=payment).amount == payment.amount

    @pytest.mark.parametrize("event", ["duplicate", "out_of_order"])
    def test_news_that_comes_again_or_late_credits_once(
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

    def test_a_stranger_is_refused_where_a_proof_is_asked_for(
        self, payment: Payment, feexpay_webhook: Post, feexpay_work: Work
    ) -> None:
        proof_is_asked = any(mode != "status" for mode in feexpay.webhook_modes)

        assert feexpay_webhook(payment, "unsigned") == (401 if proof_is_asked else 200)
        feexpay_work()

        assert not credits_of(payment)

    @pytest.mark.parametrize("event", ["unknown_reference", "payment_history"])
    def test_what_is_about_no_payment_of_ours_is_taken_quietly(
        self, payment: Payment, feexpay_webhook: Post, event: str
    ) -> None:
        assert feexpay_webhook(payment, event) == 200
        assert not credits_of(payment)

    @pytest.mark.parametrize(("event", "code"), [("broken", 400), ("too_large", 413)])
    def test_what_is_no_webhook_is_refused_and_not_stored(
        self, payment: Payment, feexpay_webhook: Post, event: str, code: int
    ) -> None:
        assert feexpay_webhook(payment, event) == code
        assert not WebhookDelivery.objects.exists()

    def test_what_is_stored_holds_no_number(self, payment: Payment, feexpay_webhook: Post) -> None:
        (sent,) = sample_webhooks.deliveries(payment.attempt, "successful")
        feexpay_webhook(payment, "successful")

        (stored,) = WebhookDelivery.objects.all()
        number = sample_webhooks.number_of(payment.attempt)
        assert number
        assert number.encode() in sent.raw
        assert number not in str(stored.body)


def credits_of(payment: Payment) -> int:
    """How often the money of this payment counts."""
    return Credit.objects.filter(payment=payment).count()
