"""WebhookCases inherited as a host does: default settings, every webhook mode on, and a price function."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from django_feexpay.models import Payment
from django_feexpay.python_api import start_payment
from django_feexpay.testing.webhook_cases import WebhookCases
from tests.conftest import Configure

STANDARD_SECRET = "whsec_" + base64.b64encode(b"a standard key of 24 bytes").decode()


def price(*, merchant_reference: str, **order: Any) -> int:
    """The price function of a shop that sells one order."""
    if merchant_reference != "order-1":
        raise ValidationError("There is no such order.")
    return 1500


@pytest.fixture(autouse=True)
def any_amount(configure: Configure) -> None:
    configure(PAYABLE="any_amount")


class TestDefaultSettings(WebhookCases):
    pass


class TestEveryWebhookMode(WebhookCases):
    @pytest.fixture(autouse=True)
    def every_mode(self, any_amount: None, configure: Configure) -> None:
        configure(
            WEBHOOK_MODES="status,header,url_token,hmac,standard_webhooks",
            WEBHOOK_SECRETS=[
                "header:Bearer abcdefgh",
                "url_token:url-token-1",
                "hmac:a secret of 24 bytes or more",
                f"standard_webhooks:{STANDARD_SECRET}",
            ],
            WEBHOOK_HMAC={"PREFIX": "sha256=", "ENCODING": "base64", "TIMESTAMP_HEADER": "X-Time"},
        )


class TestHostWithPrices(WebhookCases):
    """The default `start` does not ask PAYABLE, which would refuse a payment without an order."""

    @pytest.fixture(autouse=True)
    def prices(self, any_amount: None, configure: Configure) -> None:
        configure(PAYABLE=f"{__name__}.price")


class TestHostWithPricesAndItsOwnStart(TestHostWithPrices):
    def start(self, user: Any) -> Payment:
        return start_payment(
            user=user, provider="mtn_bj", amount=1500, phone="01 61 00 00 50", merchant_reference="order-1"
        )

    def test_price_of_the_order_is_charged(self, payment: Payment) -> None:
        assert (payment.amount, payment.merchant_reference) == (1500, "order-1")
