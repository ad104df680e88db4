"""Fixtures of several folders: settings, a gateway in memory, the sandbox, and a clock that only tests advance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import translation
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from django_feexpay import conf, database_clock, request_ids, tally
from django_feexpay.background import tasks
from tests import emptying, process_state
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Guard
from tests.sandbox.running import RunningSandbox, run_sandbox

pytest_plugins = ("tests.leak_watch", "tests.payment_fixtures")

# `make test` uses the same examples each time, so that a failure comes from the last change. `make nightly` uses new
# examples; each of its findings becomes a fixed example. There is no deadline, because the machine may be busy.
hypothesis_settings.register_profile("repeatable", deadline=None, print_blob=True, derandomize=True)
hypothesis_settings.register_profile("nightly", deadline=None, print_blob=True, max_examples=1000)
hypothesis_settings.load_profile("repeatable")

Configure = Callable[..., None]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """With a fast way to empty the tables after a test that commits."""
    with django_db_blocker.unblock():
        emptying.prepare()


@pytest.fixture(scope="module", autouse=True)
def no_stragglers(django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        emptying.empty_again()


@pytest.fixture
def configure(settings: Any) -> Configure:
    """`configure(DISPATCH="queue")` changes single keys of settings.FEEXPAY for this test."""

    def change(**keys: Any) -> None:
        settings.FEEXPAY = {**settings.FEEXPAY, **keys}

    return change


@pytest.fixture
def gateway(guard: Guard) -> ModelGateway:
    """FeexPay in memory instead of over a socket."""
    model = ModelGateway()
    guard.inner = model
    return model


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """What one test counted, in the cache or in this process, does not reach the next test."""
    process_state.forget()


@pytest.fixture(autouse=True)
def nothing_of_a_request_stays() -> Iterator[None]:
    """The language of a request stays active in this thread, and its id if its answer is not closed.

    The next test may read texts and log lines without a request.
    """
    yield
    translation.deactivate()
    request_ids._current.set("")


@pytest.fixture(scope="session", autouse=True)
def clock_of_the_database_is_read_once() -> Iterator[None]:
    """Else a test that counts statements counts one more, if the last reading is older than 30 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database_clock, "_TRUST_SECONDS", math.inf)
        yield


@pytest.fixture(scope="session", autouse=True)
def counts_of_events_are_written_once() -> Iterator[None]:
    """Else a test that counts statements counts more, if it takes longer than a second on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "_WRITE_EVERY_SECONDS", math.inf)
        yield


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the lookup of the engine: there is no django-q2 cluster. Tests of the engine undo this."""
    monkeypatch.setattr(tasks, "_engine", (math.inf, False))


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that moves only by `clock.advance`."""
    clock = Clock()
    with conf.use_clock(clock):
        yield clock
