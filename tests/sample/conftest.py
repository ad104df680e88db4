from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from shop.models import CoinPack

PASSWORD = "correct horse battery"

PACKS = {"mini": (50, 500), "standard": (220, 2_000), "champion": (650, 5_000), "maxi": (1_200, 10_000)}


@pytest.fixture(autouse=True)
def clean_cache() -> Iterator[None]:
    """Throttles count in the cache."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def packs(db: None) -> dict[str, CoinPack]:
    """The four packs. Those of the migration are lost when a test empties the database."""
    CoinPack.objects.all().delete()
    return {
        code: CoinPack.objects.create(code=code, name=code.title(), coins=coins, price=price, position=price)
        for code, (coins, price) in PACKS.items()
    }


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ama", password=PASSWORD)


@pytest.fixture
def token(player: User) -> str:
    """A bearer token of the player."""
    body = {"username": "ama", "password": PASSWORD}
    answer = Client().post("/api/v1/auth/token/", body, content_type="application/json")
    token: str = answer.json()["token"]
    return token


@pytest.fixture
def signed_in(token: str) -> Client:
    """A client that sends the player's token."""
    return Client(headers={"Authorization": f"Bearer {token}"})
