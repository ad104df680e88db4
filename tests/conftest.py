"""What several folders need to meet FeexPay: in memory, on a socket, and in a time that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from hypothesis import settings as hypothesis_settings

from django_feexpay import conf
from tests.payments.model_gateway import ModelGateway
from tests.payments.stage import Clock, Guard
from tests.sandbox.running import RunningSandbox, run_sandbox

# A busy machine is no failing rule.
hypothesis_settings.register_profile("unhurried", deadline=None, print_blob=True)
hypothesis_settings.register_profile("nightly", hypothesis_settings.get_profile("unhurried"), max_examples=1000)
hypothesis_settings.load_profile("unhurried")

Configure = Callable[..., None]


@pytest.fixture
def configure(settings: Any) -> Configure:
    """`configure(DISPATCH="queue")` changes single keys of settings.FEEXPAY for this test."""

    def change(**keys: Any) -> None:
        settings.FEEXPAY = {**settings.FEEXPAY, **keys}

    return change


@pytest.fixture
def gateway(guard: Guard) -> ModelGateway:
    """FeexPay in memory instead of on a socket."""
    model = ModelGateway()
    guard.inner = model
    return model


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Trouble that one test makes is none of the next one's."""
    cache.clear()


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def clock() -> Iterator[Clock]:
    """Time stands still and moves only by `clock.advance`."""
    clock = Clock()
    with conf.use_clock(clock):
        yield clock
