"""On a host with LoginRequiredMiddleware, our views answer every request and never redirect to a login."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_feexpay.urls import urlpatterns

pytestmark = pytest.mark.django_db

LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
ARGUMENTS: dict[str, dict[str, Any]] = {
    name: {"payment_id": uuid.UUID(int=1)} for name in ("status", "events", "otp", "retry")
} | {"webhook_with_token": {"token": "a-token"}}


@pytest.fixture(autouse=True)
def login_required(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", [str(pattern.name) for pattern in urlpatterns])
def test_address_does_not_redirect_to_the_login(client: Client, name: str, method: str) -> None:
    url = reverse(f"feexpay:{name}", kwargs=ARGUMENTS.get(name))

    answer = getattr(client, method)(url, content_type="application/json")

    assert answer.status_code != 302
    assert answer["Content-Type"].startswith(("application/json", "application/problem+json"))


def test_middleware_is_in_force(client: Client) -> None:
    assert client.get(reverse("home")).status_code == 302
