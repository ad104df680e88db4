from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.receiver import Receiver, receive_webhooks
from tests.sandbox.running import RunningSandbox, run_sandbox


@pytest.fixture(scope="package")
def shop() -> Iterator[Receiver]:
    """The receiver of the shared sandbox's webhooks."""
    with receive_webhooks() as receiver:
        yield receiver


@pytest.fixture(scope="package")
def started(shop: Receiver) -> Iterator[RunningSandbox]:
    with run_sandbox("--shop-name=Coin & <Shop>", "--language=en", webhook_url=shop.url) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(started: RunningSandbox) -> RunningSandbox:
    """The shared sandbox, emptied."""
    started.reset()
    return started
