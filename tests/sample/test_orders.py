"""An order is paid once, even if its page is reloaded or opened twice."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.test import Client
from shop.models import CoinEntry, CoinPack, Order

from django_feexpay import conf
from django_feexpay.models import Payment
from django_feexpay.payments import outbox
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, sweep_until_final

URL = "/api/v1/shop/orders/"
INITIATE = "/api/v1/payments/feexpay/initiate/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def gateway() -> Iterator[ModelGateway]:
    model = ModelGateway()
    with conf.use_transport(model):
        yield model


def order(client: Client, pack: str = "mini") -> dict[str, Any]:
    answer = client.post(URL, {"pack": pack}, content_type="application/json")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def pay(client: Client, order_id: str, pack: str = "mini", amount: int = 500) -> Any:
    """Start the payment of an order with a new idempotency key, as a reloaded page does."""
    body = {"provider": "mtn_bj", "amount": amount, "phone": "01 61 00 00 50", "metadata": {"pack": pack}}
    headers = {"Idempotency-Key": str(uuid.uuid4()), "Accept-Language": "en"}
    return client.post(
        INITIATE, body | {"merchant_reference": order_id}, content_type="application/json", headers=headers
    )


def test_repeated_request_returns_the_same_order(signed_in: Client, packs: dict[str, CoinPack]) -> None:
    first, second = order(signed_in), order(signed_in)

    assert first == second
    assert (first["pack"], first["price"], first["payment_id"]) == ("mini", 500, None)
    assert order(signed_in, "maxi")["id"] != first["id"]


def test_reloaded_page_finds_the_running_payment_and_starts_no_second(
    signed_in: Client, packs: dict[str, CoinPack], gateway: ModelGateway
) -> None:
    first = pay(signed_in, order(signed_in)["id"]).json()

    again = order(signed_in)
    second = pay(signed_in, again["id"])

    assert (again["payment_id"], first["status"]) == (first["id"], "pending")
    assert (second.status_code, second.json()["code"]) == (409, "duplicate_payment")
    assert second.json()["payment_id"] == first["id"]
    assert signed_in.get(URL).json() == [again]
    assert (len(gateway.charges), Payment.objects.count()) == (1, 1)


@pytest.mark.postgres_only
def test_two_concurrent_tabs_start_one_payment(
    player: User, token: str, packs: dict[str, CoinPack], gateway: ModelGateway
) -> None:
    answers: list[Any] = []

    def tab() -> None:
        client = Client(headers={"Authorization": f"Bearer {token}"})
        answers.append(pay(client, order(client)["id"]))
        connection.close()

    tabs = [threading.Thread(target=tab) for _ in range(3)]
    for each in tabs:
        each.start()
    for each in tabs:
        each.join()

    assert len(gateway.charges) == 1
    paid = {answer.json().get("payment_id") or answer.json()["id"] for answer in answers if answer.status_code < 500}
    assert len(paid) == 1
    assert Order.objects.count() == 1


def test_paid_order_is_closed_and_the_next_order_is_new(
    signed_in: Client, packs: dict[str, CoinPack], gateway: ModelGateway, clock: Clock
) -> None:
    first = order(signed_in)
    pay(signed_in, first["id"])
    gateway.last().approve()
    sweep_until_final(Payment.objects.get(), clock)
    outbox.deliver()

    next_one = order(signed_in)

    assert CoinEntry.objects.get().coins == 50
    assert Order.objects.get(pk=first["id"]).paid_at is not None
    assert (next_one["id"] != first["id"], next_one["payment_id"]) == (True, None)
    assert signed_in.get(URL).json() == []
    assert pay(signed_in, first["id"]).status_code in (400, 409)


def test_failed_payment_leaves_its_order_open(
    signed_in: Client, packs: dict[str, CoinPack], gateway: ModelGateway, clock: Clock
) -> None:
    first = order(signed_in)
    pay(signed_in, first["id"])
    gateway.last().decline()
    sweep_until_final(Payment.objects.get(), clock)

    assert order(signed_in) == first
    assert pay(signed_in, first["id"]).status_code == 201


@pytest.mark.parametrize("wrong", ["of another player", "of another pack", "of no pack"])
def test_order_can_be_paid_only_by_its_player_and_for_its_pack(
    signed_in: Client, packs: dict[str, CoinPack], gateway: ModelGateway, wrong: str
) -> None:
    other = User.objects.create_user("kofi")
    theirs = Order.objects.create(player=other, pack=packs["mini"])
    mine = order(signed_in)["id"]
    order_id = str(theirs.pk) if wrong == "of another player" else mine
    pack, amount = ("mini", 500) if wrong == "of another player" else ("maxi", 10_000)
    body = {"provider": "mtn_bj", "amount": amount, "phone": "01 61 00 00 50", "merchant_reference": order_id}
    metadata = {} if wrong == "of no pack" else {"metadata": {"pack": pack}}

    answer = signed_in.post(
        INITIATE, body | metadata, content_type="application/json", headers={"Accept-Language": "en"}
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert answer.json()["errors"][0]["message"] == "You have no open order for this pack."
    assert gateway.charges == []


@pytest.mark.parametrize("reference", ["", "level-7", "13c91165-77c0-450a-b52c-0726da527692"])
def test_reference_that_is_no_order_is_accepted(
    signed_in: Client, packs: dict[str, CoinPack], gateway: ModelGateway, reference: str
) -> None:
    assert pay(signed_in, reference).status_code == 201


@pytest.mark.parametrize("body", [{"pack": wrong} for wrong in ("", 5, None, ["mini"], "m" * 33)] + [{}])
def test_invalid_order_is_refused(signed_in: Client, packs: dict[str, CoinPack], body: object) -> None:
    answer = signed_in.post(URL, json.dumps(body), content_type="application/json")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "pack")
    assert Order.objects.count() == 0


@pytest.mark.parametrize("pack", ["none", "maxi"])
def test_order_of_a_pack_that_is_not_for_sale_is_not_found(
    signed_in: Client, packs: dict[str, CoinPack], pack: str
) -> None:
    CoinPack.objects.filter(code="maxi").update(active=False)

    answer = signed_in.post(URL, {"pack": pack}, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert Order.objects.count() == 0


def test_orders_of_other_players_are_not_listed(client: Client, packs: dict[str, CoinPack]) -> None:
    assert client.get(URL).status_code == 401
    assert client.post(URL, {"pack": "mini"}, content_type="application/json").status_code == 401


def test_database_allows_one_open_order_for_each_pack(player: User, packs: dict[str, CoinPack]) -> None:
    Order.objects.create(player=player, pack=packs["mini"])

    with pytest.raises(IntegrityError):
        Order.objects.create(player=player, pack=packs["mini"])
