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


class Nobody:
    """Stands where FeexPay would: whoever calls it fails the test."""

    def exchange(self, request: WireRequest) -> WireReply:
        raise AssertionError(f"a call that nobody expected: {request.method} {request.url}")


@pytest.fixture(autouse=True)
def house_rules(configure: Configure) -> None:
    """No price of the sample shop's unless a test sets one, and nothing that an earlier test counted."""
    configure(PAYABLE="any_amount")
    cache.clear()


@pytest.fixture(autouse=True)
def guard() -> Iterator[Guard]:
    """Whatever is sent goes through here: a call inside a transaction fails the test."""
    guard = Guard(Nobody())
    with conf.use_transport(guard):
        yield guard
    assert guard.offences == []


@pytest.fixture
def real_socket(guard: Guard) -> Iterator[None]:
    """Calls leave this process."""
    transport = HttpTransport()
    guard.inner = transport
    yield
    transport.close()


@pytest.fixture
def sandbox(running_sandbox: RunningSandbox, configure: Configure, real_socket: None) -> RunningSandbox:
    """FeexPay on a real socket, without a memory; time runs a hundred times faster there."""
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
