"""Top-ups in other currencies, and the total a player sees before paying."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from shop.models import CoinEntry, CoinPack
from shop.orders import Orders
from shop.totals import totals

from django_feexpay.models import Payment, Provider
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


@pytest.mark.parametrize(
    ("fee_payer", "expected"), [("merchant", {"total": 5000, "fee": 0}), ("payer", {"total": 5085, "fee": 85})]
)
def test_home_page_shows_the_total_before_the_payment(
    client: Client, packs: dict[str, CoinPack], configure: Configure, fee_payer: str, expected: dict[str, int]
) -> None:
    configure(FEE_PAYER=fee_payer)

    page = client.get("/").content.decode()

    told = json.loads(re.search(r'<script id="totals"[^>]*>(.*?)</script>', page)[1])  # type: ignore[index]
    assert told["mtn_bj"]["champion"] == expected
    assert set(told) == set(re.findall(r'<option value="(\w+)"', page))


def test_total_that_a_provider_would_refuse_is_left_out(packs: dict[str, CoinPack]) -> None:
    Provider.objects.filter(pk="mtn_bj").update(min_amount=1000)

    assert set(totals(["mtn_bj"])["mtn_bj"]) == {"standard", "champion", "maxi"}
