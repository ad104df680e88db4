from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from django_feexpay import checkout_url
from tests.browser.chromium import window
from tests.checkout.payer import Payer
from tests.conftest import Configure

#: A fixture of this folder, beside those below.
__all__ = ["window"]

#: `address(amount=…)`: a new checkout address for an order.
MakeAddress = Callable[..., str]


@pytest.fixture(autouse=True)
def guarded_calls_and_signed_price(real_socket: None, configure: Configure) -> None:
    """Every test: a call inside a transaction fails it, and the price is what the host signed."""
    configure(PAYABLE="any_amount", SHOP_NAME="Coin shop")


@pytest.fixture
def address(player: User) -> MakeAddress:
    def make(user: User | None = player, reference: str = "order 5", amount: int = 5000, **more: object) -> str:
        options = {"return_url": "/thanks/{payment_id}/", "description": "500 coins", **more}
        return checkout_url(user, reference, amount, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def payer() -> Payer:
    return Payer()
