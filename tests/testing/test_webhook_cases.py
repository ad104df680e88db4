"""The cases that hosts inherit, inherited: on our defaults, and where every proof is asked for."""

from __future__ import annotations

import base64

import pytest

from django_feexpay.testing.webhook_cases import WebhookCases
from tests.conftest import Configure

STANDARD_SECRET = "whsec_" + base64.b64encode(b"a standard key of 24 bytes").decode()


@pytest.fixture(autouse=True)
def free_top_up(configure: Configure) -> None:
    configure(PAYABLE="any_amount")


class TestWithoutCredentials(WebhookCases):
    """As FeexPay comes."""


class TestWithEveryCredential(WebhookCases):
    """As strict as it gets."""

    @pytest.fixture(autouse=True)
    def every_mode(self, free_top_up: None, configure: Configure) -> None:
        configure(
            WEBHOOK_MODES="status,header,url_token,hmac,standard_webhooks",
            WEBHOOK_SECRETS=[
                "header:Bearer abcdefgh",
                "url_token:token-1",
                "hmac:a secret of 24 bytes or more",
                f"standard_webhooks:{STANDARD_SECRET}",
            ],
            WEBHOOK_HMAC={"PREFIX": "sha256=", "ENCODING": "base64", "TIMESTAMP_HEADER": "X-Time"},
        )
