from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from django.utils import translation
from shop.models import CoinPack
from shop.orders import Orders

from django_feexpay.models import Payment
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.terms import PaymentRequest, validate

NO_SUCH_PACK = "There is no such pack: GET /api/v1/shop/packs/ lists them."
NOT_A_CODE = "metadata.pack must be the code of a pack, as text."


def owed(metadata: dict[str, Any], amount: int = 5_000, currency: str = "XOF") -> int:
    return Orders().price(user=None, merchant_reference="", amount=amount, currency=currency, metadata=metadata)


def initiate(client: Client, **body: Any) -> Any:
    order = {"provider": "mtn_bj", "phone": "01 97 00 00 50", **body}
    headers = {"Idempotency-Key": str(uuid.uuid4()), "Accept-Language": "en"}
    return client.post("/api/v1/payments/feexpay/initiate/", order, content_type="application/json", headers=headers)


@pytest.mark.parametrize(("code", "price"), [("mini", 500), ("standard", 2_000), ("champion", 5_000), ("maxi", 10_000)])
def test_pack_costs_its_price_whatever_amount_is_sent(packs: dict[str, CoinPack], code: str, price: int) -> None:
    assert owed({"pack": code}, amount=1) == price


@pytest.mark.parametrize("amount", [10, 777, 2_000_000])
def test_free_top_up_costs_its_amount(db: None, amount: int) -> None:
    assert owed({}, amount=amount) == amount


def test_other_metadata_is_accepted(packs: dict[str, CoinPack]) -> None:
    assert owed({"pack": "mini", "level": 3}) == 500


def test_central_african_franc_has_the_same_prices(packs: dict[str, CoinPack]) -> None:
    assert owed({"pack": "mini"}, currency="XAF") == 500


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"amount": 5_000, "metadata": {"pack": "giant"}},
            NO_SUCH_PACK,
        ),
        ({"amount": 5_000, "metadata": {"pack": "MINI"}}, NO_SUCH_PACK),
        ({"amount": 500, "metadata": {"pack": 1}}, NOT_A_CODE),
        ({"amount": 500, "metadata": {"pack": None}}, NOT_A_CODE),
        ({"amount": 500, "metadata": {"pack": ["mini"]}}, NOT_A_CODE),
        ({"amount": 9}, "A coin costs 10 F CFA."),
    ],
    ids=str,
)
def test_invalid_order_of_coins_is_refused(
    signed_in: Client, packs: dict[str, CoinPack], body: dict[str, Any], message: str
) -> None:
    answer = initiate(signed_in, **body)

    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": "amount", "code": "not_payable", "message": message}]
    assert Payment.objects.count() == 0


@pytest.mark.parametrize("amount", [4_999, 5_001, 500])
def test_other_amount_than_the_packs_is_refused(signed_in: Client, packs: dict[str, CoinPack], amount: int) -> None:
    answer = initiate(signed_in, amount=amount, metadata={"pack": "champion"})

    assert answer.status_code == 400
    assert [error["code"] for error in answer.json()["errors"]] == ["wrong_price"]
    assert Payment.objects.count() == 0


def test_pack_that_is_not_for_sale_is_refused(signed_in: Client, packs: dict[str, CoinPack]) -> None:
    CoinPack.objects.filter(code="mini").update(active=False)

    assert initiate(signed_in, amount=500, metadata={"pack": "mini"}).status_code == 400


def test_refusal_has_a_french_text(packs: dict[str, CoinPack]) -> None:
    order = PaymentRequest(user=None, provider="mtn_bj", amount=5_000, phone="0197000050", metadata={"pack": "giant"})

    with translation.override("fr"), pytest.raises(NotAllowedError) as refused:
        validate(order)

    assert refused.value.message == "Ce pack n'existe pas\N{NO-BREAK SPACE}: GET /api/v1/shop/packs/ en donne la liste."
