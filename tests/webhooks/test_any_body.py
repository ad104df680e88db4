"""Any body, from anyone: an answer of the documented kind, no believed status, nothing personal stored, no call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_feexpay.models import Attempt, Credit, PaymentEvent, WebhookDelivery
from tests.api.caller import Caller
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock
from tests.webhooks.webhook_requests import delivery, post_webhook

pytestmark = pytest.mark.django_db

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["SUCCESSFUL", "FAILED", "REVERSED", "ref-0001", "2290161000050", 5000, 10**30, ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from(sorted(delivery())) | st.text(max_size=9), VALUES, max_size=5)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A delivery with other fields, cut or with a changed byte; or anything at all."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=80)) or b"[]"
    body = json.dumps(delivery() | draw(FIELDS)).encode()
    if draw(st.booleans()):
        position = draw(st.integers(0, len(body) - 1))
        return body[:position] + draw(st.binary(max_size=2)) + body[position + 1 :]
    return body[: draw(st.integers(1, len(body)))] if draw(st.booleans()) else body


@pytest.fixture
def attempt(caller: Caller, gateway: ModelGateway, clock: Clock) -> Attempt:
    """An attempt that waits for its payer, with the reference `ref-0001`."""
    caller.initiate()
    return Attempt.objects.get()


def facts(attempt: Attempt) -> tuple[Any, ...]:
    attempt.refresh_from_db()
    return attempt.status, attempt.gateway_reference, PaymentEvent.objects.count(), Credit.objects.count()


@given(body=bodies())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_body_is_stored_or_refused_and_decides_nothing(
    attempt: Attempt, gateway: ModelGateway, body: bytes
) -> None:
    before, asked, rows = facts(attempt), gateway.questions, WebhookDelivery.objects.count()

    response = post_webhook(body)

    assert response.status_code in (200, 400)
    assert (facts(attempt), gateway.questions, len(gateway.charges)) == (before, asked, 1)
    assert WebhookDelivery.objects.count() <= rows + (response.status_code == 200)
    kept = json.dumps(list(WebhookDelivery.objects.values_list("body", flat=True)), default=str)
    assert [canary for canary in ("0161000050", "ama@example.com", "Doe") if canary in kept] == []
