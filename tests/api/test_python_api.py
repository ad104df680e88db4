"""The Python API: errors for wrong arguments, and `guess_provider`."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.db import connections

import django_feexpay
from django_feexpay import ProviderCode
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Payment
from tests.payments.fake_gateway import ModelGateway

pytestmark = pytest.mark.django_db(transaction=True)


def start(**changes: Any) -> Payment:
    given = {"user": None, "provider": "mtn_bj", "amount": 5000, "phone": "+229 01 61 00 00 50"}
    return django_feexpay.start_payment(**given | changes)


def test_whole_decimal_in_francs_is_an_amount(gateway: ModelGateway) -> None:
    assert start(amount=Decimal("5000.00")).amount == 5000


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"amount": Decimal("49.90")}, ValueError),
        ({"amount": Decimal("NaN")}, ValueError),
        ({"amount": Decimal(49), "currency": "EUR"}, ValueError),  # euros or cents?
        ({"amount": 5000.0}, TypeError),
        ({"amount": "5000"}, TypeError),
        ({"amount": True}, TypeError),
    ],
    ids=str,
)
def test_other_amount_is_an_error_that_says_what_to_pass(
    gateway: ModelGateway, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="pass an int in the minor unit of the currency"):
        start(**changes)

    assert Payment.objects.count() == 0


@pytest.mark.parametrize(("user", "text"), [(AnonymousUser(), "pass user=None to sell to a guest"), (1, "not int")])
def test_user_is_an_account_or_none(gateway: ModelGateway, user: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        start(user=user)

    assert Payment.objects.count() == 0


def test_key_without_a_user_is_refused(gateway: ModelGateway) -> None:
    with pytest.raises(ValueError, match="idempotency_key"):
        start(idempotency_key="order-7")


@pytest.mark.parametrize("payment_id", ["7", "", "0b8c3f0e-3d5a-4c1e-9f65-2f4b8a9d7e11"])
@pytest.mark.parametrize("call", ["retry_payment", "reconcile_payment", "submit_otp"])
def test_unknown_payment_id_raises_does_not_exist(call: str, payment_id: str) -> None:
    otp = ("123456",) if call == "submit_otp" else ()

    with pytest.raises(Payment.DoesNotExist):
        getattr(django_feexpay, call)(payment_id, *otp)


def test_id_may_be_text(gateway: ModelGateway) -> None:
    payment = start()

    assert django_feexpay.reconcile_payment(str(payment.pk)).pk == payment.pk


def test_payment_itself_may_be_given(gateway: ModelGateway) -> None:
    payment = start()

    assert django_feexpay.reconcile_payment(payment).pk == payment.pk
    with pytest.raises(django_feexpay.NotAllowedError, match="payment_open"):
        django_feexpay.retry_payment(payment)
    with pytest.raises(django_feexpay.NotAllowedError, match="otp_not_expected"):
        django_feexpay.submit_otp(payment, "123456")


def test_metadata_is_measured_without_spaces(gateway: ModelGateway) -> None:
    full = {"note": "é" * 1011 + "e", "n": 1, "m": [2]}  # 2048 bytes

    assert start(metadata=full).metadata == full
    with pytest.raises(django_feexpay.NotAllowedError, match="metadata"):
        start(metadata=full | {"n": 10}, phone="+229 01 61 00 00 51")


def test_asynchronous_start_starts_a_payment(gateway: ModelGateway) -> None:
    user = User.objects.create_user("ama")

    async def buy() -> Payment:
        try:
            return await django_feexpay.astart_payment(user=user, provider="mtn_bj", amount=5000, phone="0161000050")
        finally:
            await sync_to_async(connections.close_all)()  # of the thread that made the call

    payment = asyncio.run(buy())

    assert (payment.detail, payment.user, len(gateway.charges)) == ("waiting_for_payer", user, 1)
    assert django_feexpay.astart_payment.__name__ == "astart_payment"


def test_text_of_a_refusal_is_readable(gateway: ModelGateway) -> None:
    with pytest.raises(django_feexpay.NotAllowedError) as refused:
        start(provider="mtn_benin")

    assert str(refused.value) == "There is no such provider. (validation_error: provider)"


def test_quote_is_what_a_start_charges() -> None:
    quoted = django_feexpay.quote(provider=ProviderCode.MTN_BJ, amount=1000, currency="EUR")

    assert (quoted.charged_amount, quoted.charged_currency, str(quoted.exchange_rate)) == (6560, "XOF", "655.957")


@pytest.mark.parametrize(
    ("phone", "country", "code"),
    [
        ("+229 01 97 00 00 50", "", ProviderCode.MTN_BJ),
        ("00229 97 00 00 50", "", ProviderCode.MTN_BJ),  # as before November 2024
        ("01 95 00 00 50", "BJ", ProviderCode.MOOV_BJ),
        ("01 95 00 00 50", "ci", ProviderCode.MOOV_CI),
        ("01 95 00 00 50", "", None),  # Benin or Côte d'Ivoire
        ("+229 01 20 00 00 50", "", None),  # an unknown prefix
        ("+33 6 12 34 56 78", "", None),
        ("not a number", "", None),
    ],
)
def test_network_is_guessed_from_the_number(phone: str, country: str, code: ProviderCode | None) -> None:
    assert django_feexpay.guess_provider(phone, country=country) is code


def test_number_of_another_network_is_not_refused(gateway: ModelGateway) -> None:
    assert start(provider="mtn_bj", phone="+229 01 95 00 00 50").detail == "waiting_for_payer"


def test_provider_codes_are_those_of_the_catalogue() -> None:
    assert list(ProviderCode) == list(CATALOGUE)
