"""Messages follow Accept-Language, also on a host without LocaleMiddleware."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.api.caller import Caller, assert_problem

pytestmark = pytest.mark.django_db

FRENCH = {"Accept-Language": "fr-BJ,fr;q=0.9,en;q=0.5"}
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture(params=[True, False], ids=["locale middleware", "no locale middleware"], autouse=True)
def middleware(request: pytest.FixtureRequest, settings: Any) -> None:
    if not request.param:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "LocaleMiddleware" not in name]


@pytest.fixture
def caller(django_user_model: type[User]) -> Caller:
    return Caller(django_user_model.objects.create_user("player"))


@pytest.mark.parametrize(
    ("headers", "title", "message"),
    [
        (FRENCH, "Certaines valeurs ne sont pas valables", "Ce moyen de paiement n'existe pas."),
        (ENGLISH, "Some values are not valid", "There is no such provider."),
    ],
    ids=["French", "English"],
)
def test_problem_is_in_the_language_of_the_client(
    headers: dict[str, str], title: str, message: str, caller: Caller
) -> None:
    response = caller.initiate(headers=headers, provider="nobody_xx")

    body = assert_problem(response, 400, "validation_error", field="provider")
    assert body["title"] == title
    assert body["errors"][0]["message"] == message


def test_providers_are_in_the_language_of_the_client(caller: Caller) -> None:
    french = {row["code"]: row for row in caller.get("providers/", headers=FRENCH).json()}
    english = {row["code"]: row for row in caller.get("providers/", headers=ENGLISH).json()}

    assert (french["wave_sn"]["country_name"], english["wave_sn"]["country_name"]) == ("Sénégal", "Senegal")
    assert (
        french["amex"]["unavailable_reason"]
        == "Les cartes American Express ne sont pas acceptées. Les cartes Visa et Mastercard le sont."
    )


def test_answers_vary_with_the_language(caller: Caller) -> None:
    assert "Accept-Language" in caller.get("providers/").headers["Vary"]


def test_error_of_a_malformed_body_is_in_the_language_of_the_client(caller: Caller) -> None:
    twice = b'{"provider":"mtn_bj","provider":"mtn_bj"}'

    french = assert_problem(caller.post("initiate/", twice, headers=FRENCH), 400, "malformed_request")
    english = assert_problem(caller.post("initiate/", twice, headers=ENGLISH), 400, "malformed_request")

    assert (french["detail"], english["detail"]) == ("Une clé figure deux fois.", "A key is given twice.")
