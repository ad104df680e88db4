from __future__ import annotations

import asyncio
import gc
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.offscreen import prepare

prepare()

from tests.ui.app import make_app, store_session  # noqa: E402 -- the window must be prepared first
from tests.ui.driver import Driver  # noqa: E402
from tests.ui.fake_shop import FakeShop  # noqa: E402


def pytest_collection_finish() -> None:
    """Exclude imported objects from garbage collection, so that collecting after each test is fast."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Run each coroutine test on its own event loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(_on_loop(pyfuncitem, {name: pyfuncitem.funcargs[name] for name in names}))
    return True


async def _on_loop(item: Any, arguments: dict[str, Any]) -> None:
    """Also fail the test on an exception that no code awaited."""
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(_traceback(context)))
    try:
        await item.obj(**arguments)
    finally:
        for driver in item.funcargs.get("_drivers", []):
            driver.close()
            await driver.app.close()
    gc.collect(1)
    assert failures == []


def _traceback(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return "".join(traceback.format_exception(error)) if error else str(context.get("message"))


@pytest.fixture
def shop() -> FakeShop:
    return FakeShop()


@pytest.fixture
def _drivers() -> list[Driver]:
    return []


@pytest.fixture
def drive(_drivers: list[Driver]) -> Callable[..., Driver]:
    """`drive(app)` runs that app; it is closed after the test."""

    def make(app: Any, size: tuple[int, int] = (400, 720)) -> Driver:
        driver = Driver(app, size)
        _drivers.append(driver)
        return driver

    return make


@pytest.fixture
def start(drive: Callable[..., Driver], shop: FakeShop, tmp_path: Path) -> Callable[..., Any]:
    """`await start()` runs the app to its first screen, signed in by default."""

    async def make(
        *,
        signed_in: bool = True,
        size: tuple[int, int] = (400, 720),
        opened: list[str] | None = None,
        **preferences: Any,
    ) -> Driver:
        app = make_app(tmp_path, shop, opened=opened, **preferences)
        if signed_in:
            await store_session(app)
        driver = drive(app, size)
        await driver.until(lambda: app.showing != "start")
        return driver

    return make
