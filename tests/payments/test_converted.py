"""Prices in another currency: conversion, proof, credit, retry and double taps."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_feexpay import conf
from django_feexpay.models import Attempt, Credit, Payment, Provider
from django_feexpay.payments import invariants
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.retry import retry
from django_feexpay.payments.terms import quote_with
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Recorder, sweep_until_final

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def dollar(configure: Configure) -> None:
    configure(RATES={"USD": "605.25"})


def test_price_charged_amount_and_rate_are_stored(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin(amount=1000, currency="USD")

    assert (payment.amount, payment.currency) == (1000, "USD")
    assert (payment.charged_amount, payment.charged_currency, payment.charged_price) == (6053, "XOF", 6053)  # 6052.5
    assert str(payment.exchange_rate) == "605.25000000"
    assert gateway.last().amount == payment.attempt.amount == 6053


def test_credit_is_of_the_charged_amount_and_the_invariants_hold(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder, configure: Configure
) -> None:
    configure(FEE_PAYER="payer")
    payment = begin(amount=1000, currency="EUR")
    gateway.last().approve()

    assert sweep_until_final(payment, clock).status == "successful"

    credit = Credit.objects.get()
    assert (credit.amount, credit.currency) == (6672, "XOF")  # 6560 and 112
    assert payment.charged_price == 6560
    assert signals.names(payment) == ["payment_succeeded"]
    assert list(invariants.violations()) == []


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (6560, "successful"),
        (6672, "successful"),  # with the fee, as some answers give it
        (6559, "review"),
        (1000, "review"),  # the cents of the price
        (1112, "review"),  # the cents and the fee
        (656_000, "review"),
    ],
)
def test_success_is_proven_by_the_amount_in_francs(
    begin: Begin, gateway: ModelGateway, clock: Clock, told: int, status: str
) -> None:
    payment = begin(amount=1000, currency="EUR")
    gateway.last().approve()
    gateway.last().lies["amount"] = told

    clock.advance(10)
    retold = reconciled(payment)

    assert retold.status == status
    assert Credit.objects.count() == (status == "successful")


def reconciled(payment: Payment) -> Payment:
    reconcile(payment.attempt.pk, source=Source.WORKER)
    return Payment.objects.for_reading().get(pk=payment.pk)


def test_limits_apply_to_the_charged_amount(begin: Begin, gateway: ModelGateway) -> None:
    Provider.objects.filter(pk="mtn_bj").update(min_amount=6560, max_amount=6560)

    begin(amount=1000, currency="EUR")
    for amount in (999, 1001):
        with pytest.raises(NotAllowedError) as refused:
            begin(amount=amount, currency="EUR")
        assert refused.value.errors[0].field == "amount"


def test_payable_gets_the_price_and_not_the_charged_amount(
    begin: Begin, gateway: ModelGateway, configure: Configure
) -> None:
    configure(PAYABLE="tests.payments.test_converted.ten_dollars")

    begin(amount=1000, currency="USD")

    assert ASKED == [(1000, "USD")]
    with pytest.raises(NotAllowedError, match="The price is 10\\.00\\xa0USD\\."):
        begin(amount=999, currency="USD")


ASKED: list[tuple[int, str]] = []


def ten_dollars(*, amount: int, currency: str, **order: Any) -> int:
    ASKED.append((amount, currency))
    return 1000


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    ASKED.clear()


def test_same_digits_in_another_currency_are_no_double_tap(begin: Begin, gateway: ModelGateway) -> None:
    begin(amount=1000, currency="EUR")
    begin(amount=1000, currency="USD")
    begin(amount=1000)

    with pytest.raises(NotAllowedError) as refused:
        begin(amount=1000, currency="EUR")
    assert refused.value.code == "duplicate_payment"


# --- retry ----------------------------------------------------------------------------------------------


@pytest.fixture
def declined(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    payment = begin(amount=1000, currency="USD")
    gateway.last().decline()
    return sweep_until_final(payment, clock)


@pytest.mark.parametrize(
    "since", [{"RATES": {"USD": "700"}}, {"RATES": {}}, {"FEE_PAYER": "payer"}], ids=["dearer", "no rate", "fee"]
)
def test_retry_charges_the_agreed_amount(
    declined: Payment, gateway: ModelGateway, configure: Configure, since: dict[str, Any]
) -> None:
    configure(**since)

    payment = retry(declined.pk, source=Source.API)

    assert (payment.charged_amount, gateway.last().amount, len(gateway.charges)) == (6053, 6053, 2)


def test_retry_at_a_stale_rate_is_refused(declined: Payment, gateway: ModelGateway, clock: Clock) -> None:
    clock.advance(86_399 - (conf.now() - declined.created_at).total_seconds())
    assert retry(declined.pk, source=Source.API).attempt.ordinal == 2
    gateway.last().decline()
    sweep_until_final(declined, clock)
    clock.advance_to(declined.created_at + timedelta(days=1))

    with pytest.raises(NotAllowedError) as refused:
        retry(declined.pk, source=Source.API)

    assert refused.value.code == "not_retryable"
    assert Attempt.objects.count() == 2


def test_retry_at_the_fixed_parity_is_always_allowed(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin(amount=1000, currency="EUR")
    gateway.last().decline()
    sweep_until_final(payment, clock)
    clock.advance(10 * 86_400)

    assert retry(payment.pk, source=Source.API).attempt.ordinal == 2


# --- conversion, for any numbers ----------------------------------------------------------------------


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixtures serve all examples
@given(
    amount=st.integers(1, 10**9),
    currency=st.sampled_from(["", "EUR", "USD"]),
    rate=st.decimals(min_value=100, max_value=2000, places=8),
    percent=st.decimals(min_value=0, max_value=20, places=2),
    fee_payer=st.sampled_from(["merchant", "payer"]),
)
def test_conversion_rounds_up_by_less_than_a_franc(
    amount: int, currency: str, rate: Decimal, percent: Decimal, fee_payer: str
) -> None:
    keys = {**settings.FEEXPAY, "RATES": {"USD": rate}, "FEE_PAYER": fee_payer}
    row = Provider(code="mtn_cg", min_amount=1, max_amount=10**13, fee_percent=percent, enabled=True)

    with override_settings(FEEXPAY=keys):
        quote = quote_with(row, amount, currency)

    price = quote.total - (quote.fee if fee_payer == "payer" else 0)
    exact = Fraction(amount) * Fraction(quote.exchange_rate or 1) / (100 if currency else 1)
    assert exact <= price < exact + 1
    assert (price == amount) if not currency else quote.exchange_rate is not None
    share = Fraction(price) * Fraction(percent) / 100
    flat = Fraction(1 if percent else 0)  # FeexPay's rule for the smallest amounts, whatever the percentage
    assert quote.fee == (flat if price <= 30 else ceil(share))
