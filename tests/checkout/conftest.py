from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User

from django_feexpay import checkout_url, conf
from django_feexpay.gateway.transport import HttpTransport
from tests.browser.chromium import window
from tests.checkout.payer import Payer
from tests.conftest import Configure
from tests.payments.fakes import Guard
from tests.sandbox.running import RunningSandbox

#: A fixture of this folder, beside those below.
__all__ = ["window"]

#: `address(amount=…)`: a new checkout address for an order.
MakeAddress = Callable[..., str]


@pytest.fixture(autouse=True)
def guard(configure: Configure) -> Iterator[Guard]:
    """A call to FeexPay inside a transaction fails the test. The price is what the host signed."""
    configure(PAYABLE="any_amount", SHOP_NAME="Coin shop")
    transport = HttpTransport()
    guard = Guard(transport)
    with conf.use_transport(guard):
        yield guard
    transport.close()
    assert guard.offences == []


@pytest.fixture
def sandbox(running_sandbox: RunningSandbox, configure: Configure) -> RunningSandbox:
    """The sandbox on a real socket, without earlier payments; its time runs a hundred times faster."""
    running_sandbox.reset()
    configure(BASE_URL=running_sandbox.api_url)
    return running_sandbox


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ama")


@pytest.fixture
def address(player: User) -> MakeAddress:
    def make(user: User | None = player, reference: str = "order 5", amount: int = 5000, **more: object) -> str:
        options = {"return_url": "/thanks/{payment_id}/", "description": "500 coins", **more}
        return checkout_url(user, reference, amount, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def payer() -> Payer:
    return Payer()
