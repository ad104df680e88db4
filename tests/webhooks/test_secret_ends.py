"""A webhook secret is replaced without losing a webhook: the old one is accepted until its end, and never after."""

from __future__ import annotations

import pytest

from django_feexpay.models import WebhookDelivery
from tests.conftest import Configure
from tests.payments.fakes import Clock
from tests.webhooks.webhook_requests import delivery, hmac_header, post_webhook, raw

pytestmark = pytest.mark.django_db

OLD, NEW = "old secret of 24 bytes or more", "new secret of 24 bytes or more"


@pytest.mark.parametrize("mode", ["header", "hmac", "url_token"])
def test_both_secrets_are_accepted_until_the_old_one_ends(mode: str, configure: Configure, clock: Clock) -> None:
    old, new = (secret.replace(" ", "-") if mode == "url_token" else secret for secret in (OLD, NEW))
    ends_at = clock.at.replace(microsecond=0)
    clock.advance(-3600)
    count = 0

    def status(secret: str) -> int:
        nonlocal count
        count += 1
        body = raw(delivery(reference=f"ref-{count}"))
        headers = {"header": {"Authorization": secret}, "hmac": hmac_header(body, secret)}.get(mode, {})
        found: int = post_webhook(body, headers, token=secret if mode == "url_token" else "").status_code
        return found

    for written, accepted in (
        ([f"{mode}:{old}"], {old}),
        ([f"{mode}:{new}", f"{mode}:{old} until {ends_at.isoformat()}"], {old, new}),
    ):
        configure(WEBHOOK_MODES=mode, WEBHOOK_SECRETS=written)
        assert {secret for secret in (old, new) if status(secret) == 200} == accepted
    stored = WebhookDelivery.objects.count()

    clock.at = ends_at
    assert (status(old), status(new)) == (401, 200)
    assert WebhookDelivery.objects.count() == stored + 1
