from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from tests.api.caller import Caller
from tests.payments.fakes import Guard


@pytest.fixture(autouse=True)
def guarded_calls_and_any_price(guard: Guard, any_price: None) -> None:
    """Every test: a call inside a transaction fails it, and so does any call without a gateway."""


@pytest.fixture
def caller(player: User) -> Caller:
    return Caller(player)


@pytest.fixture
def stranger(db: None) -> Caller:
    return Caller()
