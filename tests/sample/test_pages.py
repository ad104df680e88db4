from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.signing import TimestampSigner
from django.test import Client
from shop import pages, views
from shop.models import CoinEntry, CoinPack, Order

from django_feexpay.models import Payment
from tests.sample.conftest import PASSWORD
from tests.sample.credited_payments import credited_payment

LINKED = re.compile(r'(?:src|href|action)="([^"]+)"')


@pytest.fixture
def demo(settings: Any) -> None:
    """The home page of `make demo`."""
    settings.DEMO_SANDBOX_URL = "http://127.0.0.1:8801"
    settings.DEMO_USERNAME = "player"
    settings.DEMO_PASSWORD = "made-up-for-this-run"


@pytest.mark.parametrize(
    ("language", "heading"),
    [
        ("en", "Buy coins with mobile money or a card"),
        ("fr-BJ,fr;q=0.9", "Achetez des pièces par mobile money ou par carte"),
    ],
)
def test_home_is_in_the_visitors_language(
    client: Client, packs: dict[str, CoinPack], language: str, heading: str
) -> None:
    page = client.get("/", headers={"Accept-Language": language}).content.decode()

    assert f"<h1>{heading}</h1>" in page
    assert f'<html lang="{language[:2]}">' in page


def test_language_switch_wins_over_the_browser(client: Client, packs: dict[str, CoinPack]) -> None:
    answer = client.post("/language/setlang/", {"language": "fr", "next": "/"}, follow=True)

    assert '<html lang="fr">' in answer.content.decode()
    assert client.get("/", headers={"Accept-Language": "en"}).content.decode().count('<html lang="fr">') == 1


def test_home_offers_the_packs_with_their_prices(client: Client, packs: dict[str, CoinPack]) -> None:
    page = client.get("/", headers={"Accept-Language": "fr"}).content.decode()

    assert re.findall(r'name="pack" value="(\w+)"', page) == ["mini", "standard", "champion", "maxi"]
    assert re.findall(r'<span class="price">([^<]*)</span>', page)[2] == "5\u202f000 F&nbsp;CFA".replace(
        "\u202f", "\xa0"
    )
    assert re.search(r'value="champion"[^>]* checked', page)
    assert "<script" not in page


CSRF = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')


def test_player_signs_in_and_gets_to_the_checkout_of_one_order(
    client: Client, player: User, packs: dict[str, CoinPack]
) -> None:
    account = {"username": "ama", "password": PASSWORD}
    refused = client.post("/buy/", {"pack": "mini", **account, "password": "wrong"})
    assert (refused.status_code, Order.objects.count()) == (422, 0)

    first = client.post("/buy/", {"pack": "mini", **account})
    again = client.post("/buy/", {"pack": "mini"})  # signed in now

    assert first["Location"].startswith("/pay/")
    assert first["Location"] != again["Location"]
    order = Order.objects.get()
    page = client.get(again["Location"], headers={"Accept-Language": "en"}).content.decode()
    assert ("500\xa0F\xa0CFA" in page, "Mini: 50 coins" in page) == (True, True)
    client.post(again["Location"], {"provider": "moov_bj", "phone": "01 95 00 00 50"})  # the worker sends this one
    payment = Payment.objects.get()
    assert (payment.user, payment.merchant_reference, payment.amount) == (player, str(order.pk), 500)
    assert payment.metadata == {"pack": "mini"}


def test_pack_that_is_not_for_sale_cannot_be_ordered(client: Client, player: User, packs: dict[str, CoinPack]) -> None:
    client.force_login(player)
    CoinPack.objects.filter(code="mini").update(active=False)

    assert [client.post("/buy/", {"pack": code}).status_code for code in ("mini", "nonsense", "usd")] == [422, 422, 302]
    assert Order.objects.count() == 0


def test_signing_out_ends_the_session(client: Client, player: User, packs: dict[str, CoinPack]) -> None:
    client.force_login(player)
    assert "You play as ama" in client.get("/", headers={"Accept-Language": "en"}).content.decode()

    client.post("/sign-out/")

    assert 'name="password"' in client.get("/").content.decode()


def test_return_page_believes_only_the_signed_part_of_its_address(client: Client, player: User) -> None:
    payment = credited_payment(player, amount=500)
    client.force_login(player)
    signer = TimestampSigner(salt="django_feexpay.checkout.return")
    signed = f"/return/?feexpay={signer.sign(payment.pk.hex)}&status=FAILED"

    on_the_way = client.get(signed, headers={"Accept-Language": "en"}).content.decode()
    CoinEntry.objects.create(player=player, coins=50, payment=payment, event_id=payment.pk)
    arrived = client.get(signed, headers={"Accept-Language": "en"}).content.decode()
    elsewhere = Client().get(signed, headers={"Accept-Language": "en"}).content.decode()
    forged = client.get(f"/return/?feexpay={payment.pk.hex}&payment={payment.pk}", headers={"Accept-Language": "en"})

    assert "Your coins are on their way" in on_the_way
    assert "You have 50 coins now" in arrived
    assert ("The coins are yours" in elsewhere, "You have" in elsewhere) == (True, False)
    assert "No payment here" in forged.content.decode()


@pytest.mark.usefixtures("demo")
def test_home_of_a_demo_links_to_the_phone_and_fills_in_the_account(client: Client, db: None) -> None:
    page = client.get("/").content.decode()

    assert 'href="http://127.0.0.1:8801/"' in page
    assert 'value="made-up-for-this-run"' in page


def test_home_outside_a_demo_shows_neither_phone_nor_account(client: Client, db: None) -> None:
    page = client.get("/", headers={"Accept-Language": "en"}).content.decode()

    assert "phone</a>" not in page
    assert re.search(r'name="password"[^>]* value=""', page)


@pytest.mark.parametrize("path", ["/", "/api/v1/", "/return/"])
def test_pages_load_nothing_from_other_servers(client: Client, packs: dict[str, CoinPack], path: str) -> None:
    answer = client.get(path)

    assert [link for link in LINKED.findall(answer.content.decode()) if not link.startswith(("/", "#"))] == []


@pytest.mark.parametrize("path", ["/", "/api/v1/", "/return/"])
def test_assets_of_the_pages_exist(client: Client, packs: dict[str, CoinPack], path: str) -> None:
    links = LINKED.findall(client.get(path).content.decode())
    assets = {link.removeprefix("/static/") for link in links if link.startswith("/static/")}

    assert {"shop/shop.css", "shop/coin.svg"} <= assets
    assert [asset for asset in assets if finders.find(asset) is None] == []


@pytest.mark.usefixtures("demo")
def test_api_page_has_commands_for_this_server(client: Client, packs: dict[str, CoinPack]) -> None:
    page = client.get("/api/v1/", headers={"Host": "localhost:8000", "Accept-Language": "fr"}).content.decode()

    assert "curl -s http://localhost:8000/api/v1/shop/packs/" in page
    assert '"amount": 500, "phone": "' in page
    assert '{"username": "player", "password": "made-up-for-this-run"}' in page


def test_unknown_address_below_api_answers_problem_json(client: Client, db: None) -> None:
    answer = client.get("/api/v1/nothing/", headers={"Accept-Language": "fr"})

    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"


def test_missing_slash_is_explained(client: Client, db: None) -> None:
    answer = client.get("/api/v1/shop/packs", headers={"Accept-Language": "en"})

    assert (answer.status_code, answer.json()["detail"]) == (404, "Every address of this API ends with a slash.")


def test_unknown_address_elsewhere_answers_a_page(client: Client, db: None) -> None:
    answer = client.get("/nothing/", headers={"Accept-Language": "fr"})

    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "<h1>Cette page n'existe pas</h1>" in answer.content.decode()


def broken(*args: object) -> None:
    raise RuntimeError("secret inside")


def test_error_below_api_answers_problem_json_without_details(
    client: Client, packs: dict[str, CoinPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "pack_as_json", broken)
    client.raise_request_exception = False

    answer = client.get("/api/v1/shop/packs/")

    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert answer.json()["code"] == "server_error"
    assert b"secret inside" not in answer.content


def test_error_elsewhere_answers_a_page_without_details(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_packs", broken)
    client.raise_request_exception = False

    answer = client.get("/", headers={"Accept-Language": "en"})

    assert answer.status_code == 500
    assert "<h1>Something went wrong on our side</h1>" in answer.content.decode()
    assert b"secret inside" not in answer.content


def test_unknown_host_below_api_answers_problem_json(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["shop.example"]

    answer = client.get("/api/v1/shop/packs/", headers={"Host": "evil.example"})

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_admin_shows_coins_and_changes_none(admin_client: Client, player: User) -> None:
    payment = credited_payment(player, amount=500)
    entry = CoinEntry.objects.create(player=player, coins=50, payment=payment, event_id=payment.pk)

    assert "ama" in admin_client.get("/admin/shop/coinentry/").content.decode()
    assert admin_client.get(f"/admin/shop/coinentry/{entry.pk}/change/").status_code == 200
    for way in ("add", f"{entry.pk}/change", f"{entry.pk}/delete"):
        assert admin_client.post(f"/admin/shop/coinentry/{way}/", {"coins": 5_000}).status_code == 403
    assert CoinEntry.objects.get().coins == 50


def test_admin_pages_of_coins_orders_and_players_link_to_payments_and_back(
    admin_client: Client, player: User, packs: dict[str, CoinPack]
) -> None:
    order = Order.objects.create(player=player, pack=packs["mini"])
    payment = credited_payment(player, amount=500)
    Payment.objects.filter(pk=payment.pk).update(merchant_reference=str(order.pk))
    page, order_page = f"/admin/feexpay/payment/{payment.pk}/change/", f"/admin/shop/order/{order.pk}/change/"

    assert f'href="{order_page}"' in admin_client.get(page).content.decode()
    assert f"/admin/feexpay/payment/?q={order.pk}" in admin_client.get(order_page).content.decode()
    entry = CoinEntry.objects.create(player=player, coins=50, payment=payment, event_id=payment.pk)
    entry_page = f"/admin/shop/coinentry/{entry.pk}/change/"
    assert f'href="{entry_page}"' in admin_client.get(page).content.decode()
    assert f'href="{page}"' in admin_client.get(entry_page).content.decode()
    of_player = f"/admin/feexpay/payment/?of_user={player.pk}"
    assert of_player in admin_client.get(f"/admin/auth/user/{player.pk}/change/").content.decode()
    assert str(payment.pk) in admin_client.get(of_player).content.decode()


def test_admin_cannot_change_coins_or_price_of_a_pack(admin_client: Client, packs: dict[str, CoinPack]) -> None:
    form = {"code": "x", "name": "Mini deal", "coins": 1, "price": 1, "position": 9}

    answer = admin_client.post(f"/admin/shop/coinpack/{packs['mini'].pk}/change/", form)

    assert answer.status_code == 302
    pack = CoinPack.objects.get(pk=packs["mini"].pk)
    assert (pack.code, pack.name, pack.coins, pack.price, pack.active) == ("mini", "Mini deal", 50, 500, False)


def test_admin_cannot_delete_a_pack(admin_client: Client, packs: dict[str, CoinPack]) -> None:
    assert admin_client.post(f"/admin/shop/coinpack/{packs['mini'].pk}/delete/", {"post": "yes"}).status_code == 403


def test_page_that_leads_back_into_the_app_links_to_the_app_and_tells_nothing(client: Client) -> None:
    """An operator's page leads here; what its query says about the payment is not shown."""
    answer = client.get("/return/app/?ref=FXP1&status=SUCCESSFUL", headers={"Accept-Language": "fr"})
    page = answer.content.decode()

    assert 'href="io.github.djangofeexpay.client://return"' in page
    assert "Retour à l'application" in page.replace("&#x27;", "'")
    assert "FXP1" not in page
    assert "SUCCESSFUL" not in page
