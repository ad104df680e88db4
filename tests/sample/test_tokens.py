from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.throttling import SimpleRateThrottle
from shop import tokens

from tests.payments.threads import at_once
from tests.sample.conftest import PASSWORD

URL = "/api/v1/auth/token/"


def sign_in(client: Client, username: object, password: object, **more: Any) -> Any:
    body = {"username": username, "password": password}
    return client.post(URL, body, content_type="application/json", **more)


def test_token_lasts_thirty_days(client: Client, player: User) -> None:
    answer = sign_in(client, "ama", PASSWORD)

    assert answer.status_code == 200
    assert sorted(answer.json()) == ["expires_at", "token"]
    left = datetime.fromisoformat(answer.json()["expires_at"]) - timezone.now()
    assert timedelta(days=30) - timedelta(minutes=1) < left <= timedelta(days=30)


def test_token_is_kept_hashed(client: Client, player: User) -> None:
    token = sign_in(client, "ama", PASSWORD).json()["token"]

    kept = AuthToken.objects.get(user=player)
    assert token not in (kept.digest, kept.token_key)


def test_token_gives_access_to_the_balance(client: Client, token: str) -> None:
    answer = client.get("/api/v1/shop/balance/", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200


def test_expired_token_gives_no_access(client: Client, token: str) -> None:
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))

    answer = client.get("/api/v1/shop/balance/", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize(
    ("username", "password"), [("ama", "wrong"), ("nobody", PASSWORD), ("ama", PASSWORD + " ")], ids=str
)
def test_wrong_name_or_password_is_the_same_401(client: Client, player: User, username: str, password: str) -> None:
    answer = sign_in(client, username, password)

    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"] == "Bearer"
    assert (answer.json()["code"], answer.json()["errors"]) == ("not_authenticated", [])


def test_inactive_account_gets_no_token(client: Client, player: User) -> None:
    User.objects.update(is_active=False)

    assert sign_in(client, "ama", PASSWORD).status_code == 401


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["username", "password"]),
        ({"username": "ama"}, ["password"]),
        ({"username": 5, "password": "x"}, ["username"]),
        ({"username": ["ama"], "password": {"a": "b"}}, ["username", "password"]),
        ({"username": None, "password": ""}, ["username", "password"]),
        ({"username": "a" * 151, "password": "x"}, ["username"]),
    ],
    ids=str,
)
def test_wrong_values_are_named(client: Client, db: None, body: dict[str, object], fields: list[str]) -> None:
    answer = client.post(URL, body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert [error["field"] for error in answer.json()["errors"]] == fields


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_request"),
        (b"[]", 400, "malformed_request"),
        (b'{"username": "a", "username": "b", "password": "x"}', 400, "malformed_request"),
        (b'{"username": "\\u0000", "password": "x"}', 400, "malformed_request"),
        (b'{"username": "' + b"a" * 65_536 + b'"}', 413, "payload_too_large"),
    ],
    ids=["broken", "no object", "a key twice", "NUL", "too large"],
)
def test_unreadable_body_answers_problem_json(client: Client, db: None, body: bytes, status: int, code: str) -> None:
    answer = client.generic("POST", URL, body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_form_is_an_unsupported_media_type(client: Client, db: None) -> None:
    answer = client.post(URL, {"username": "ama", "password": PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_logout_revokes_only_this_token(client: Client, token: str, player: User) -> None:
    other = sign_in(client, "ama", PASSWORD).json()["token"]

    answer = client.post("/api/v1/auth/logout/", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get("/api/v1/shop/balance/", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert client.get("/api/v1/shop/balance/", headers={"Authorization": f"Bearer {other}"}).status_code == 200


def has_access(client: Client, token: str) -> bool:
    answer = client.get("/api/v1/shop/balance/", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 401)
    return bool(answer.status_code == 200)


def test_logout_everywhere_revokes_all_tokens_of_the_player(client: Client, token: str, player: User) -> None:
    other = sign_in(client, "ama", PASSWORD).json()["token"]
    User.objects.create_user("kofi", password=PASSWORD)
    kofis = sign_in(client, "kofi", PASSWORD).json()["token"]

    answer = client.post("/api/v1/auth/logout-all/", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert [has_access(client, each) for each in (token, other, kofis)] == [False, False, True]


def with_the_admins_form(admin_client: Client, player: User) -> None:
    form = {"usable_password": "true", "password1": "another horse battery", "password2": "another horse battery"}
    answer = admin_client.post(f"/admin/auth/user/{player.pk}/password/", form)
    assert answer.status_code == 302


def with_set_password(admin_client: Client, player: User) -> None:
    player.set_password("another horse battery")
    player.save(update_fields=["password"])


def with_a_hash(admin_client: Client, player: User) -> None:
    player.password = make_password("another horse battery")
    player.save()


def with_an_unusable_password(admin_client: Client, player: User) -> None:
    player.set_unusable_password()
    player.save()


@pytest.mark.parametrize("change", [with_the_admins_form, with_set_password, with_a_hash, with_an_unusable_password])
def test_new_password_revokes_every_token(
    client: Client, admin_client: Client, token: str, player: User, change: Callable[[Client, User], None]
) -> None:
    change(admin_client, player)

    assert not has_access(client, token)
    assert AuthToken.objects.filter(user=player).count() == 0
    if change is not with_an_unusable_password:
        assert has_access(client, sign_in(client, "ama", "another horse battery").json()["token"])


def test_reactivated_account_has_no_old_token(client: Client, admin_client: Client, token: str, player: User) -> None:
    page = f"/admin/auth/user/{player.pk}/change/"
    form = {"username": "ama", "date_joined_0": "2026-11-01", "date_joined_1": "10:00:00"}
    assert admin_client.post(page, form).status_code == 302
    off = has_access(client, token)
    assert admin_client.post(page, form | {"is_active": "on"}).status_code == 302

    assert (off, has_access(client, token)) == (False, False)


def test_other_changes_and_a_newer_hash_revoke_no_token(
    client: Client, token: str, player: User, settings: Any
) -> None:
    player.last_name = "Doe"
    player.save()
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]
    old_hash = User.objects.get().password

    newer = sign_in(client, "ama", PASSWORD).json()["token"]

    assert User.objects.get().password != old_hash
    assert has_access(client, token)
    assert has_access(client, newer)


def test_password_that_changes_during_its_check_gets_no_token(
    client: Client, player: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed_right_after(request: Any, **given: Any) -> User | None:
        user = cast("User | None", authenticate(request, **given))
        with_set_password(client, User.objects.get())
        return user

    monkeypatch.setattr(tokens, "authenticate", changed_right_after)

    assert sign_in(client, "ama", PASSWORD).status_code == 401
    assert AuthToken.objects.count() == 0


def test_logout_without_token_is_401(client: Client, db: None) -> None:
    assert client.post("/api/v1/auth/logout/").status_code == 401


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"sign_in_account": "2/min", "sign_in_address": "5/min", "sign_in_everywhere": "4/hour"}
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", rates)


@pytest.mark.usefixtures("rates")
def test_guesses_at_one_account_are_throttled(client: Client, player: User) -> None:
    guesses = [sign_in(client, "ama", f"guess {number}") for number in range(3)]

    assert [guess.status_code for guess in guesses] == [401, 401, 429]
    assert guesses[2].json()["code"] == "throttled"
    assert 0 < int(guesses[2]["Retry-After"]) <= 66
    # The right password and another spelling of the name are refused, too.
    assert sign_in(client, "ama", PASSWORD).status_code == 429
    assert sign_in(client, "AMA", PASSWORD).status_code == 429


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scope", ["sign_in_account", "sign_in_address", "sign_in_everywhere"])
def test_ten_of_fifteen_concurrent_guesses_are_checked(monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
    """DRF's own counter admits all fifteen."""
    no_limit = dict.fromkeys(("sign_in_account", "sign_in_address", "sign_in_everywhere"))
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", no_limit | {scope: "10/min"})
    User.objects.create_user("ama", password=PASSWORD)

    codes = at_once(15, lambda number: sign_in(Client(), "ama", f"guess {number}").status_code)

    assert Counter(codes) == {401: 10, 429: 5}


def test_sign_in_is_refused_while_guesses_cannot_be_counted(client: Client, player: User, settings: Any) -> None:
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9/0"}
    }
    with pytest.MonkeyPatch.context() as patched:
        rates = {"sign_in_account": "10/min", "sign_in_address": "60/min", "sign_in_everywhere": "60/hour"}
        patched.setattr(SimpleRateThrottle, "THROTTLE_RATES", rates)
        answer = sign_in(client, "ama", PASSWORD)

    assert (answer.status_code, answer.json()["code"]) == (503, "gateway_unavailable")
    assert answer["Retry-After"]


@pytest.mark.usefixtures("rates")
def test_guesses_from_another_address_do_not_lock_the_player_out(client: Client, player: User) -> None:
    for number in range(3):
        sign_in(client, "ama", f"guess {number}", REMOTE_ADDR="203.0.113.9")

    assert sign_in(client, "ama", PASSWORD).status_code == 200


@pytest.mark.usefixtures("rates")
def test_guesses_at_many_accounts_are_throttled(client: Client, player: User) -> None:
    guesses = [sign_in(client, f"player{number}", "123456").status_code for number in range(6)]

    assert guesses == [401, 401, 401, 401, 401, 429]


@pytest.mark.usefixtures("rates")
def test_forged_forwarding_header_is_not_a_new_address(client: Client, player: User) -> None:
    guesses = [
        sign_in(client, "ama", "guess", headers={"X-Forwarded-For": f"198.51.100.{number}"}).status_code
        for number in range(3)
    ]

    assert guesses == [401, 401, 429]


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("ama-nyarko", "password_too_similar"),
        ("football12", "password_too_common"),
        ("8361947250", "password_entirely_numeric"),
        ("k7#Qz-Lw2", "password_too_short"),
    ],
)
def test_weak_password_is_refused(admin_client: Client, player: User, password: str, code: str) -> None:
    """By each of the four validators, in the form where staff sets a password."""
    player.first_name = "Ama-Nyarko"
    player.save()
    with pytest.raises(ValidationError) as caught:
        validate_password(password, player)
    assert code in [error.code for error in caught.value.error_list]

    page = f"/admin/auth/user/{player.pk}/password/"
    answer = admin_client.post(page, {"password1": password, "password2": password, "usable_password": "true"})

    player.refresh_from_db()
    assert (answer.status_code, player.check_password(PASSWORD)) == (200, True)
