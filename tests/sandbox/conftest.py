from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.receiver import Receiver, receive_webhooks
from tests.sandbox.running import RunningSandbox, run_sandbox


@pytest.fixture(scope="package")
def shop() -> Iterator[Receiver]:
    """The webhook endpoint of the shared sandbox."""
    with receive_webhooks() as receiver:
        yield receiver


@pytest.fixture(scope="package")
def shared_sandbox(shop: Receiver) -> Iterator[RunningSandbox]:
    with run_sandbox("--shop-name=Coin & <Shop>", "--language=en", webhook_url=shop.url) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    """The shared sandbox, with an empty state."""
    shared_sandbox.reset()
    return shared_sandbox
