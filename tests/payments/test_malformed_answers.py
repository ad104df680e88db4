"""Malformed answers to every call: they credit nothing, raise nothing and leave the attempt open."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.core.cache import cache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_feexpay.gateway.transport import WireReply, WireRequest
from django_feexpay.models import Attempt, Credit
from tests.payments.conftest import Begin
from tests.payments.fakes import Clock, Guard, sweep

pytestmark = pytest.mark.django_db(transaction=True)

_NAMES = st.sampled_from(
    ["reference", "amount", "data", "total", "callback_info", "custom_id", "urlPay", "payment_url"]
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(["SUCCESSFUL", "FAILED"])
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=4), max_leaves=8
)
_RAW = st.binary(max_size=40) | _JSON.map(lambda value: json.dumps(value).encode())


class MalformedGateway:
    """Gives the same answer to every call. No answer is a status or an error of FeexPay."""

    def __init__(self, status: int, raw: bytes) -> None:
        self._reply = WireReply(status, {}, raw)

    def exchange(self, request: WireRequest) -> WireReply:
        return self._reply


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(status=st.sampled_from([200, 201, 202, 204, 302, 400, 404, 500, 502, 503]), raw=_RAW)
@pytest.mark.parametrize(("provider", "phone"), [("mtn_bj", "0161000050"), ("visa", ""), ("wave_ci", "0700000050")])
def test_malformed_answers_settle_nothing(
    begin: Begin, guard: Guard, clock: Clock, provider: str, phone: str, status: int, raw: bytes
) -> None:
    guard.inner = MalformedGateway(status, raw)
    cache.clear()  # otherwise the circuit breaker would rightly stop all calls

    payment = begin(provider=provider, phone=phone, merchant_reference=str(uuid4()))
    for seconds in (5, 30, 300):
        clock.advance(seconds)
        sweep()

    attempt = Attempt.objects.get(payment=payment)
    assert attempt.status in {"created", "pending", "unknown", "review"}
    assert Credit.objects.count() == 0
