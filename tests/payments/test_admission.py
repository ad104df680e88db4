"""A repeated request is answered as a repeat, even while new requests are refused because FeexPay is busy or down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import NotSentError
from django_feexpay.models import Payment
from django_feexpay.payments import idempotency, otp
from django_feexpay.payments.admission import circuit_breaker, rate_budget
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fakes import Clock

pytestmark = pytest.mark.django_db(transaction=True)

CODE = "123456"


@pytest.fixture(autouse=True)
def one_slot(configure: Configure, gateway: ModelGateway, clock: Clock) -> None:
    configure(GATEWAY_AT_ONCE=1)


def refusal(act: Callable[[], object]) -> tuple[str, int | None]:
    """The refusal while another request holds the only bulkhead slot."""
    with rate_budget.slot(), pytest.raises(NotAllowedError) as refused:
        act()
    return refused.value.code, refused.value.retry_after_seconds


def test_double_tap(begin: Begin) -> None:
    begin(merchant_reference="order-1")

    assert refusal(lambda: begin(merchant_reference="order-1")) == ("duplicate_payment", None)
    assert refusal(lambda: begin(merchant_reference="order-2")) == ("gateway_unavailable", 3)


def test_repeated_key(begin: Begin) -> None:
    first = begin()
    key = idempotency.Key(user=first.user, value="tap-1", fingerprint="same")
    idempotency.record(key, first, first.created_at)

    assert refusal(lambda: begin(key=key)) == ("idempotency_conflict", 2)
    idempotency.remember(key, 201, {"id": str(first.pk)})
    with rate_budget.slot(), pytest.raises(idempotency.AlreadyAnswered):
        begin(key=key)


def test_retry_of_an_open_payment(begin: Begin) -> None:
    payment = begin()

    assert refusal(lambda: retry(payment.pk, source=Source.API)) == ("payment_open", None)


def test_retry_of_a_failed_payment(begin: Begin, gateway: ModelGateway) -> None:
    gateway.next_collects = [refuse()]
    payment = begin()

    assert refusal(lambda: retry(payment.pk, source=Source.API)) == ("gateway_unavailable", 3)
    assert Payment.objects.get().attempts.count() == 1


def test_repeated_code(begin: Begin) -> None:
    payment = begin(provider="coris_bj")

    assert refusal(lambda: otp.submit(payment.pk, CODE, source=Source.API)) == ("gateway_unavailable", 3)
    otp.submit(payment.pk, CODE, source=Source.API)
    assert refusal(lambda: otp.submit(payment.pk, CODE, source=Source.API)) == ("otp_not_expected", None)


def test_double_tap_does_not_take_the_probe(begin: Begin, clock: Clock) -> None:
    """Otherwise a payer who keeps tapping keeps the circuit open."""
    begin(merchant_reference="order-1")
    for _ in range(circuit_breaker.FAILURES_IN_A_ROW):
        circuit_breaker.record(
            CallSeen(operation="collect", outcome="not_sent", seconds=0.1, provider_code="mtn_bj", error=NotSentError())
        )
    clock.advance(circuit_breaker.PAUSE_SECONDS)

    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        begin(merchant_reference="order-1")
    assert begin(merchant_reference="order-2").status == "pending"
    assert circuit_breaker.open_circuits(["mtn_bj"]) == []
