from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.throttling import SimpleRateThrottle

from tests.sample.conftest import PASSWORD

STAFF, PLAYER = "awa", "ama"


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser(STAFF, password=PASSWORD)


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user(PLAYER, password=PASSWORD)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`rates(sign_in_account="2/min")` sets these limits of signing in and no other."""

    def limit(**given: str) -> None:
        scopes = ("sign_in_address", "sign_in_account", "sign_in_everywhere")
        monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", dict.fromkeys(scopes) | given)

    return limit
