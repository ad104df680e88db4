from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from django_feexpay import conf
from django_feexpay.gateway.transport import HttpTransport, WireReply, WireRequest
from tests.api.caller import Caller
from tests.payments.model_gateway import ModelGateway
from tests.payments.stage import Clock, Guard
from tests.sandbox.running import RunningSandbox, run_sandbox

Configure = Callable[..., None]


class Nobody:
    """Stands where FeexPay would: whoever calls it fails the test."""

    def exchange(self, request: WireRequest) -> WireReply:
        raise AssertionError(f"a call that nobody expected: {request.method} {request.url}")


@pytest.fixture
def configure(settings: Any) -> Configure:
    """`configure(DISPATCH="queue")` changes single keys of settings.FEEXPAY for this test."""

    def change(**keys: Any) -> None:
        settings.FEEXPAY = {**settings.FEEXPAY, **keys}

    return change


@pytest.fixture(autouse=True)
def house_rules(configure: Configure) -> None:
    """No price of the sample shop's unless a test sets one, and nothing that an earlier test counted."""
    configure(PAYABLE=None)
    cache.clear()


@pytest.fixture(autouse=True)
def guard() -> Iterator[Guard]:
    """Whatever is sent goes through here: a call inside a transaction fails the test."""
    guard = Guard(Nobody())
    with conf.use_transport(guard):
        yield guard
    assert guard.offences == []


@pytest.fixture
def gateway(guard: Guard) -> ModelGateway:
    """FeexPay in memory."""
    model = ModelGateway()
    guard.inner = model
    return model


@pytest.fixture
def real_socket(guard: Guard) -> Iterator[None]:
    """Calls leave this process."""
    transport = HttpTransport()
    guard.inner = transport
    yield
    transport.close()


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: RunningSandbox, configure: Configure, real_socket: None) -> RunningSandbox:
    """FeexPay on a real socket, without a memory; time runs a hundred times faster there."""
    running_sandbox.reset()
    configure(BASE_URL=running_sandbox.api_url)
    return running_sandbox


@pytest.fixture
def clock() -> Iterator[Clock]:
    """Time stands still and moves only by `clock.advance`."""
    clock = Clock()
    with conf.use_clock(clock):
        yield clock


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ama")


@pytest.fixture
def caller(player: User) -> Caller:
    return Caller(player)


@pytest.fixture
def stranger(db: None) -> Caller:
    return Caller()
