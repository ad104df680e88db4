from __future__ import annotations

import uuid
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from shop.models import CoinEntry, CoinPack

from tests.sample.credited_payments import credited_payment


def test_new_shop_has_four_packs(db: None) -> None:
    CoinPack.objects.all().delete()

    import_module("shop.migrations.0002_first_packs").create_packs(apps, None)

    assert list(CoinPack.objects.values_list("code", "coins", "price")) == [
        ("mini", 50, 500),
        ("standard", 220, 2_000),
        ("champion", 650, 5_000),
        ("maxi", 1_200, 10_000),
    ]


def test_packs_are_public_and_have_the_metadata_to_buy_them(client: Client, packs: dict[str, CoinPack]) -> None:
    answer = client.get("/api/v1/shop/packs/")

    assert answer.status_code == 200
    assert answer.json()[0] == {
        "code": "mini",
        "name": "Mini",
        "coins": 50,
        "price": 500,
        "currency": "XOF",
        "metadata": {"pack": "mini"},
    }
    assert [pack["code"] for pack in answer.json()] == ["mini", "standard", "champion", "maxi"]


def test_pack_that_is_not_for_sale_is_not_listed(client: Client, packs: dict[str, CoinPack]) -> None:
    CoinPack.objects.filter(code="champion").update(active=False)

    assert [pack["code"] for pack in client.get("/api/v1/shop/packs/").json()] == ["mini", "standard", "maxi"]


def test_packs_are_listed_for_a_token_that_expired(client: Client, packs: dict[str, CoinPack]) -> None:
    assert client.get("/api/v1/shop/packs/", headers={"Authorization": "Bearer gone"}).status_code == 200


def test_balance_needs_a_token(client: Client, db: None) -> None:
    answer = client.get("/api/v1/shop/balance/")

    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_authenticated"


def test_new_player_has_no_coins(signed_in: Client) -> None:
    assert signed_in.get("/api/v1/shop/balance/").json() == {"coins": 0, "entries": []}


def test_balance_is_the_sum_of_its_entries(signed_in: Client, player: User, packs: dict[str, CoinPack]) -> None:
    payment = credited_payment(player, amount=500)
    for pack, coins in ((packs["mini"], 50), (None, 7)):
        CoinEntry.objects.create(player=player, coins=coins, payment=payment, pack=pack, event_id=uuid.uuid4())

    balance = signed_in.get("/api/v1/shop/balance/").json()

    assert balance["coins"] == 57
    assert [(entry["coins"], entry["pack"]) for entry in balance["entries"]] == [(7, None), (50, "mini")]
    assert balance["entries"][0]["payment_id"] == str(payment.pk)
    assert parse_datetime(balance["entries"][0]["created_at"]) is not None


def test_balance_shows_the_newest_twenty_and_counts_all(signed_in: Client, player: User) -> None:
    payment = credited_payment(player, amount=500)
    for age in range(25):
        at = timezone.now() - timedelta(minutes=age)
        CoinEntry.objects.create(player=player, coins=age + 1, payment=payment, event_id=uuid.uuid4(), created_at=at)

    balance = signed_in.get("/api/v1/shop/balance/").json()

    assert balance["coins"] == 325
    assert [entry["coins"] for entry in balance["entries"]] == list(range(1, 21))


def test_balance_of_other_players_is_not_included(signed_in: Client, player: User) -> None:
    other = User.objects.create_user("kofi")
    payment = credited_payment(other, amount=500)
    CoinEntry.objects.create(player=other, coins=50, payment=payment, event_id=uuid.uuid4())

    assert signed_in.get("/api/v1/shop/balance/").json() == {"coins": 0, "entries": []}


def test_coin_entry_is_only_added(player: User) -> None:
    payment = credited_payment(player, amount=500)
    entry = CoinEntry.objects.create(player=player, coins=50, payment=payment, event_id=uuid.uuid4())

    entry.coins = 5_000
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        entry.delete()

    assert CoinEntry.objects.get().coins == 50


def test_wrong_method_answers_problem_json(client: Client, db: None) -> None:
    answer = client.delete("/api/v1/shop/packs/")

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
