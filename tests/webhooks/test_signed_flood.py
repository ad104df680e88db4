"""A flood where webhooks must be signed: the forged ones cost no row, and those of a leaked secret stay bounded."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from django_feexpay.models import Counter, Credit, WebhookDelivery
from django_feexpay.monitoring import health
from tests.api.caller import Caller
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, sweep
from tests.webhooks.webhook_requests import delivery, post_webhook

pytestmark = pytest.mark.django_db

SECRET = "a shared secret of more than 24 bytes"
KEPT, PER_MINUTE = 5, 8


def post(reference: str, secret: str = SECRET, **changes: Any) -> int:
    body = json.dumps(delivery(reference, **changes)).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    status: int = post_webhook(body, {"X-FeexPay-Signature": signature}).status_code
    return status


def test_forged_and_signed_floods_leave_the_table_bounded_and_a_true_webhook_settles_its_payment(
    caller: Caller, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(
        WEBHOOK_MODES=["status", "hmac"],
        WEBHOOK_SECRETS=[f"hmac:{SECRET}"],
        UNKNOWN_WEBHOOKS_KEPT=KEPT,
        UNKNOWN_WEBHOOKS_PER_MINUTE=PER_MINUTE,
    )
    payment_id = caller.initiate().json()["id"]
    gateway.last().approve()

    assert {post(f"forged-{turn}", secret="another secret of more than 24 bytes") for turn in range(30)} == {401}
    # Nothing of them was stored, and they used up no limit of those that are signed.
    assert (WebhookDelivery.objects.count(), Counter.objects.count()) == (0, 0)
    assert health.check().components["webhooks"] == "ok"

    assert {post(f"signed-{turn}") for turn in range(30)} == {200}
    assert WebhookDelivery.objects.filter(attempt=None).count() == KEPT
    assert health.check().components["webhooks"] == "webhook_flood"

    assert post("ref-0001", secret="another secret of more than 24 bytes") == 401
    assert post("ref-0001") == 200
    sweep()
    assert caller.get(f"{payment_id}/status/").json()["detail"] == "credited"
    assert (Credit.objects.count(), gateway.questions) == (1, 1)
