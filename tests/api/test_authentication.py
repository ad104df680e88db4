"""A 401 names the host's ways to sign in, and a failed CSRF check names CSRF."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory
from rest_framework.authentication import BasicAuthentication, SessionAuthentication, TokenAuthentication

from django_feexpay.api.views import FeexPayView
from tests.api.caller import BASE, Caller, assert_problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def session_client(monkeypatch: pytest.MonkeyPatch, player: User) -> Client:
    """A browser of a signed-in user, on a host whose API accepts sessions."""
    monkeypatch.setattr(FeexPayView, "authentication_classes", (SessionAuthentication,))
    client = Client(enforce_csrf_checks=True)
    client.force_login(player)
    return client


@pytest.mark.parametrize(
    ("classes", "header"),
    [
        ((TokenAuthentication,), "Token"),
        ((BasicAuthentication,), 'Basic realm="api"'),
        ((TokenAuthentication, BasicAuthentication), 'Token, Basic realm="api"'),
        ((SessionAuthentication, TokenAuthentication), "Token"),
        pytest.param((SessionAuthentication, BasicAuthentication), "Session", id="no password dialog over a page"),
        ((SessionAuthentication,), "Session"),
    ],
)
def test_401_carries_the_challenges_of_the_host(
    classes: tuple[Any, ...], header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FeexPayView, "authentication_classes", classes)

    response = Caller().get("history/")

    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == header


def test_post_from_a_page_without_the_csrf_token_names_csrf_and_the_remedy(session_client: Client) -> None:
    response = session_client.post(f"{BASE}initiate/", {}, content_type="application/json")

    detail = assert_problem(response, 403, "permission_denied")["detail"]
    assert detail.startswith("The CSRF check failed: CSRF cookie not set.")
    assert "in the header X-Csrftoken" in detail


def test_post_from_a_page_with_the_csrf_token_passes_the_check(session_client: Client) -> None:
    token = get_token(RequestFactory().get("/"))
    session_client.cookies["csrftoken"] = token

    response = session_client.post(
        f"{BASE}initiate/", {}, content_type="application/json", headers={"X-CSRFToken": token}
    )

    assert_problem(response, 400, "validation_error")
