"""Guesses of a password are limited by account and by address, in the API and in the admin, and shut no owner out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from knox.models import AuthToken

from tests.conftest import Configure
from tests.payments.fakes import Clock
from tests.sample.conftest import PASSWORD
from tests.security.conftest import PLAYER, STAFF

TOKEN_URL, ADMIN_URL = "/api/v1/auth/token/", "/admin/login/"
HOME, STRANGER = "203.0.113.7", "198.51.100.{}"


def by_api(account: str, password: str, address: str = HOME) -> Any:
    body = {"username": account, "password": password}
    return Client(REMOTE_ADDR=address).post(TOKEN_URL, body, content_type="application/json")


def by_admin(account: str, password: str, address: str = HOME) -> Any:
    """An admin's sign-in ends in a redirect; everything else shows the form again."""
    return Client(REMOTE_ADDR=address).post(ADMIN_URL, {"username": account, "password": password})


SignIn = Callable[..., Any]
BOTH = pytest.mark.parametrize(("sign_in", "account"), [(by_api, PLAYER), (by_admin, STAFF)], ids=["api", "admin"])
THROTTLED = 429


@pytest.fixture(autouse=True)
def accounts(player: User, staff: User) -> None:
    """The owner of each account is known."""


def succeeded(answer: Any) -> bool:
    is_json = answer["Content-Type"].startswith("application/json")
    return answer.status_code == 302 or (answer.status_code == 200 and is_json and "token" in answer.json())


@BOTH
def test_right_password_is_not_checked_after_too_many_guesses(rates: Any, sign_in: SignIn, account: str) -> None:
    rates(sign_in_account="2/min")
    guesses = [sign_in(account, f"guess {number}") for number in range(2)]

    late = sign_in(account, PASSWORD)

    assert [guess.status_code in (200, 401) for guess in guesses] == [True, True]
    assert (late.status_code, succeeded(late)) == (429, False)
    assert 0 < int(late["Retry-After"]) <= 66


def test_guesses_by_api_and_admin_count_together(rates: Any) -> None:
    rates(sign_in_account="2/min")
    by_api(STAFF, "one")
    by_admin(STAFF, "two")

    assert [by_api(STAFF, "three").status_code, by_admin(STAFF, "four").status_code] == [429, 429]


@BOTH
def test_limit_ends_by_itself(rates: Any, clock: Clock, sign_in: SignIn, account: str) -> None:
    rates(sign_in_account="2/min", sign_in_everywhere="3/hour")
    for number in range(5):
        sign_in(account, f"guess {number}")

    clock.advance(2 * 3600)

    assert succeeded(sign_in(account, PASSWORD))


@BOTH
def test_guesses_from_a_thousand_machines_are_limited_and_the_owner_is_not(
    rates: Any, sign_in: SignIn, account: str
) -> None:
    rates(sign_in_account="10/min", sign_in_everywhere="3/hour")
    assert succeeded(sign_in(account, PASSWORD))  # makes HOME a usual address, and counts among the three

    guesses = [sign_in(account, f"guess {number}", STRANGER.format(number)).status_code for number in range(6)]

    assert guesses.count(THROTTLED) == 4
    assert sign_in(account, PASSWORD, STRANGER.format(99)).status_code == THROTTLED
    assert succeeded(sign_in(account, PASSWORD))


@BOTH
def test_addresses_of_one_ipv6_network_are_one_address(rates: Any, sign_in: SignIn, account: str) -> None:
    rates(sign_in_address="3/min")

    guesses = [sign_in("nobody", "guess", f"2001:db8::{number:x}").status_code for number in range(5)]

    assert guesses[3:] == [THROTTLED, THROTTLED]
    assert succeeded(sign_in(account, PASSWORD, "2001:db8:0:1::1"))


@BOTH
def test_unknown_account_and_wrong_password_differ_in_nothing(
    monkeypatch: pytest.MonkeyPatch, sign_in: SignIn, account: str
) -> None:
    """Time is counted in password hashes, because nothing else in a sign-in takes a measurable time."""
    User.objects.create_user("asleep", password=PASSWORD, is_active=False, is_staff=True)
    hashed: list[str] = []
    usual = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *given: hashed.append("one") or usual(*given))

    answers = []
    for name, password in ((account, "wrong"), ("nobody", PASSWORD), ("asleep", PASSWORD)):
        hashed.clear()
        answer = sign_in(name, password)
        body = answer.content.decode().replace(name, "NAME")
        answers.append((answer.status_code, len(hashed), _without_ids(body)))

    assert answers[0][1] == 1
    assert answers[1:] == [answers[0], answers[0]]


def _without_ids(body: str) -> str:
    """The text without the values that differ in each answer."""
    return re.sub(r'"request_id":"[^"]+"|name="csrfmiddlewaretoken" value="[^"]+"', "", body)


def test_admin_says_when_to_try_again(rates: Any) -> None:
    rates(sign_in_account="1/hour")
    by_admin(STAFF, "guess")
    answer = Client(REMOTE_ADDR=HOME).post(
        ADMIN_URL, {"username": STAFF, "password": PASSWORD}, headers={"Accept-Language": "fr"}
    )

    assert "Trop de tentatives. Votre mot de passe n&#x27;a pas été vérifié. Réessayez dans" in answer.content.decode()


def test_admin_refuses_while_guesses_cannot_be_counted(rates: Any, settings: Any) -> None:
    rates(sign_in_account="10/min")
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9/0"}
    }

    answer = by_admin(STAFF, PASSWORD)

    assert (answer.status_code, answer["Retry-After"]) == (503, "1")


# --- tokens ------------------------------------------------------------------------------------------


def bearer(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


def test_player_lists_and_revokes_only_own_tokens(player: User) -> None:
    phone, laptop = (by_api(PLAYER, PASSWORD).json()["token"] for _ in range(2))
    strangers = by_api(STAFF, PASSWORD).json()["token"]

    listed = bearer(laptop).get("/api/v1/auth/tokens/").json()
    assert [token["current"] for token in listed] == [True, False]
    assert not {phone, laptop, phone[:8], laptop[:8]} & {value for token in listed for value in token.values()}
    lost = listed[1]["id"]

    assert bearer(strangers).delete(f"/api/v1/auth/tokens/{lost}/").status_code == 404
    assert bearer(phone).get("/api/v1/shop/balance/").status_code == 200
    assert bearer(laptop).delete(f"/api/v1/auth/tokens/{lost}/").status_code == 204
    assert bearer(phone).get("/api/v1/shop/balance/").status_code == 401
    assert bearer(laptop).get("/api/v1/shop/balance/").status_code == 200
    assert bearer(laptop).delete(f"/api/v1/auth/tokens/{lost}/").status_code == 404


def test_twenty_first_token_revokes_the_oldest(player: User) -> None:
    tokens = [by_api(PLAYER, PASSWORD).json()["token"] for _ in range(21)]

    assert AuthToken.objects.filter(user=player).count() == 20
    assert bearer(tokens[0]).get("/api/v1/shop/balance/").status_code == 401
    assert {bearer(token).get("/api/v1/shop/balance/").status_code for token in tokens[1:]} == {200}


def test_staff_revoke_tokens_and_make_none(admin_client: Client, player: User) -> None:
    """A token made by staff would let them sign in as the player."""
    token = by_api(PLAYER, PASSWORD).json()["token"]
    kept = AuthToken.objects.get()

    page = admin_client.get("/admin/knox/authtoken/")
    assert (page.status_code, kept.token_key in page.content.decode()) == (200, False)
    assert admin_client.get("/admin/knox/authtoken/add/").status_code == 403
    assert admin_client.post("/admin/knox/authtoken/add/", {"user": player.pk}).status_code == 403
    assert admin_client.post(f"/admin/knox/authtoken/{kept.pk}/delete/", {"post": "yes"}).status_code == 302
    assert bearer(token).get("/api/v1/shop/balance/").status_code == 401


@pytest.mark.parametrize("value", ["Bearer ÿþ", "Bearer \x00", "Bearer " + "a" * 9000, "Bearer a b", "Basic QTpC"])
def test_odd_authorization_is_401(value: str) -> None:
    answer = Client(headers={"Authorization": value}, raise_request_exception=False).get("/api/v1/shop/balance/")

    assert answer.status_code == 401


def test_demo_accounts_are_refused_in_production(configure: Configure) -> None:
    configure(ENVIRONMENT="production")

    with pytest.raises(CommandError, match="do not belong into production"):
        call_command("feexpay_demo_user", "boss", "password", "--staff")
    assert not User.objects.filter(username="boss").exists()
