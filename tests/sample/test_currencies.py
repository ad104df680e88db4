"""Top-ups in other currencies."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from shop.models import CoinEntry, CoinPack
from shop.orders import Orders

from django_feexpay.models import Payment
from tests.conftest import Configure
from tests.sample.credited_payments import credited_payment


def initiate(client: Client, **body: Any) -> Any:
    order = {"provider": "mtn_bj", "phone": "01 97 00 00 50", **body}
    headers = {"Idempotency-Key": str(uuid.uuid4()), "Accept-Language": "en"}
    return client.post("/api/v1/payments/feexpay/initiate/", order, content_type="application/json", headers=headers)


@pytest.mark.parametrize("currency", ["EUR", "USD"])
def test_top_up_may_be_in_another_currency(db: None, currency: str) -> None:
    assert Orders().price(user=None, merchant_reference="", amount=5, currency=currency, metadata={}) == 5


def test_pack_is_sold_for_francs_only(signed_in: Client, packs: dict[str, CoinPack]) -> None:
    answer = initiate(signed_in, amount=500, currency="EUR", metadata={"pack": "mini"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"] == "Packs are sold in F CFA only."
    assert Payment.objects.count() == 0


def test_top_up_gives_coins_for_its_amount_in_francs(player: User) -> None:
    payment = credited_payment(player, amount=6560)
    Payment.objects.filter(pk=payment.pk).update(amount=1000, currency="EUR", exchange_rate="655.957")
    payment.refresh_from_db()

    Orders().paid(payment=payment, event_id=uuid.uuid4())

    assert CoinEntry.objects.balance_of(player) == 656


def test_fee_on_top_buys_no_coins(player: User) -> None:
    payment = credited_payment(player, amount=5085)
    Payment.objects.filter(pk=payment.pk).update(amount=5000, fee=85)
    payment.refresh_from_db()

    Orders().paid(payment=payment, event_id=uuid.uuid4())

    assert CoinEntry.objects.balance_of(player) == 500


def test_dollars_are_offered_while_there_is_a_rate(
    client: Client, player: User, packs: dict[str, CoinPack], configure: Configure
) -> None:
    offered = 'value="usd"'
    without = client.get("/").content.decode()
    configure(RATES="USD:605.25")
    client.force_login(player)

    address = client.post("/buy/", {"pack": "usd"})["Location"]

    assert (offered in without, offered in client.get("/").content.decode()) == (False, True)
    page = client.get(address, headers={"Accept-Language": "en"}).content.decode()
    assert ("5.00\xa0USD" in page, "3\xa0027\xa0F\xa0CFA" in page) == (True, True)
