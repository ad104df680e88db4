from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client
from shop import pages, views
from shop.models import CoinEntry, CoinPack, Order

from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Payment
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


def test_home_has_prices_that_the_script_can_read(client: Client, packs: dict[str, CoinPack]) -> None:
    page = client.get("/", headers={"Accept-Language": "fr"}).content.decode()

    assert re.findall(r'value="(\w+)" data-price="([^"]*)"', page) == [
        ("mini", "500"),
        ("standard", "2000"),
        ("champion", "5000"),
        ("maxi", "10000"),
    ]
    assert re.search(r'value="champion"[^>]* checked', page)


CSRF = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')
OPTION = re.compile(r'<option value="(\w+)" data-phone="(\d*)"( data-otp="first")?( data-page="yes")?')


def test_home_lists_every_provider_with_the_fields_it_needs(client: Client, db: None) -> None:
    page = client.get("/", headers={"Accept-Language": "en"}).content.decode()

    offered = {code: (phone, bool(otp), bool(leads_away)) for code, phone, otp, leads_away in OPTION.findall(page)}
    assert next(iter(offered)) == "mtn_bj"
    assert set(offered) == {code for code, spec in CATALOGUE.items() if spec.served}
    assert all(phone.endswith("50") for code, (phone, _, _) in offered.items() if code not in ("visa", "mastercard"))
    assert offered["visa"] == ("", False, True)
    assert offered["orange_bf"][1:] == (True, True)
    assert offered["wave_ci"][1:] == (False, True)
    assert offered["mtn_bj"][1:] == (False, False)
    assert re.findall(r'<optgroup label="([^"]+)"', page)[0] == "Benin"
    assert re.findall(r'<optgroup label="([^"]+)"', page)[-1] == "Cards"


def test_home_shows_the_code_to_dial(client: Client, db: None) -> None:
    page = client.get("/", headers={"Accept-Language": "fr"}).content.decode()

    assert "Composez *144*4*6*montant#" in page


def test_return_page_ignores_its_query_string(client: Client, db: None) -> None:
    plain = client.get("/return/").content.decode()
    dressed_up = client.get("/return/?status=SUCCESSFUL&ref=<script>&payment=1").content.decode()

    assert CSRF.sub("", plain) == CSRF.sub("", dressed_up)
    assert "shop/return.js" in plain


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
    policy = answer["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'")


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
