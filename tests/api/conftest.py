from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from django_feexpay import conf
from django_feexpay.gateway.transport import HttpTransport, WireReply, WireRequest
from tests.api.caller import Caller
from tests.conftest import Configure
from tests.payments.fakes import Guard
from tests.sandbox.running import RunningSandbox


class NoGateway:
    """Stands in for FeexPay, and fails the test on any call."""

    def exchange(self, request: WireRequest) -> WireReply:
        raise AssertionError(f"unexpected call: {request.method} {request.url}")


@pytest.fixture(autouse=True)
def any_price_and_empty_cache(configure: Configure) -> None:
    """Accept any price, and forget the counts of earlier tests."""
    configure(PAYABLE="any_amount")
    cache.clear()


@pytest.fixture(autouse=True)
def guard() -> Iterator[Guard]:
    """The transport of every call: a call inside a transaction fails the test."""
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


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ama")


@pytest.fixture
def caller(player: User) -> Caller:
    return Caller(player)


@pytest.fixture
def stranger(db: None) -> Caller:
    return Caller()
