"""Fixtures of several folders: a guarded way to FeexPay, the sandbox on a socket, a player, and payments of theirs.

A plugin (`tests/conftest.py`), so a folder asks for them by name. Where every test of a folder needs them, its conftest
has one fixture with `autouse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_feexpay import conf
from django_feexpay.gateway.transport import HttpTransport, WireReply, WireRequest
from django_feexpay.models import Payment, Provider
from django_feexpay.payments import initiate
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.outbox import SIGNALS
from django_feexpay.payments.terms import PaymentRequest
from tests.conftest import Configure
from tests.payments.fakes import Guard, Recorder
from tests.sandbox.running import RunningSandbox

MakeOrder = Callable[..., PaymentRequest]
Begin = Callable[..., Payment]


# --- the way to FeexPay --------------------------------------------------------------------------------


class NoGateway:
    """Stands in for FeexPay, and fails the test on any call."""

    def exchange(self, request: WireRequest) -> WireReply:
        raise AssertionError(f"unexpected call: {request.method} {request.url}")


@pytest.fixture
def guard() -> Iterator[Guard]:
    """The transport of every call: a call inside a transaction fails the test, and any call without a gateway."""
    guard = Guard(NoGateway())
    with conf.use_transport(guard):
        yield guard
    assert guard.offences == []


@pytest.fixture
def real_socket(guard: Guard) -> Iterator[None]:
    """Send calls over a real socket."""
    transport = HttpTransport()
    guard.inner = transport
    yield
    transport.close()


@pytest.fixture
def sandbox(running_sandbox: RunningSandbox, configure: Configure, real_socket: None) -> RunningSandbox:
    """The sandbox on a real socket, without earlier payments; its time runs a hundred times faster."""
    running_sandbox.reset()
    configure(BASE_URL=running_sandbox.api_url)
    return running_sandbox


# --- a player and payments of theirs -------------------------------------------------------------------


@pytest.fixture
def any_price(configure: Configure) -> None:
    """Switch the sample shop's prices off, unless a test sets PAYABLE."""
    configure(PAYABLE="any_amount")


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ama")


@pytest.fixture
def order(player: User) -> MakeOrder:
    """`order(phone_ending="09", amount=100)`: a payment request with these changes."""

    def make(*, phone_ending: str = "50", **changes: Any) -> PaymentRequest:
        payment_request = {"user": player, "provider": "mtn_bj", "amount": 5000, "phone": f"01610000{phone_ending}"}
        return PaymentRequest(**{**payment_request, **changes})

    return make


@pytest.fixture
def begin(order: MakeOrder) -> Begin:
    """Start a payment as the API would."""

    def start(**changes: Any) -> Payment:
        key = changes.pop("key", None)
        return initiate.start(order(**changes), source=Source.API, key=key)

    return start


@pytest.fixture
def signals() -> Iterator[Recorder]:
    recorder = Recorder()
    with ExitStack() as stack:
        for name, signal in SIGNALS.items():
            receiver = recorder.listen(str(name), signal)
            stack.callback(signal.disconnect, receiver, dispatch_uid=f"recorder-{name}")
        yield recorder


@pytest.fixture
def change_provider(db: None) -> Callable[..., None]:
    """`change_provider(enabled=False)`: change MTN Benin as staff does in the admin."""

    def change(code: str = "mtn_bj", **values: Any) -> None:
        provider = Provider.objects.get(pk=code)
        for name, value in values.items():
            setattr(provider, name, value)
        provider.save()

    return change
