"""What several folders need to meet FeexPay: in memory, on a socket, and in a time that stands still."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from hypothesis import settings as hypothesis_settings

from django_feexpay import conf
from django_feexpay.background import tasks
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Guard
from tests.sandbox.running import RunningSandbox, run_sandbox

# `make test` tries the same examples each time, so that red means that a rule was broken by the last change. New
# examples are `make nightly`'s; what it finds becomes a fixed example here. No deadline: a busy machine breaks no rule.
hypothesis_settings.register_profile("repeatable", deadline=None, print_blob=True, derandomize=True)
hypothesis_settings.register_profile("nightly", deadline=None, print_blob=True, max_examples=1000)
hypothesis_settings.load_profile("repeatable")

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


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """No django-q2 cluster does the work, and no statement asks: tests of the engine set this back."""
    monkeypatch.setattr(tasks, "_engine", (math.inf, False))


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
