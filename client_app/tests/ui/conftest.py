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

from tests.ui.app import admit, make_app  # noqa: E402 -- the window must be prepared first
from tests.ui.driver import Driver  # noqa: E402
from tests.ui.shop import Shop  # noqa: E402


def pytest_collection_finish() -> None:
    """What was imported stays; looking for garbage after each test need not walk it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Coroutine tests run on a loop of their own; fixtures stay plain."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(_on_loop(pyfuncitem, {name: pyfuncitem.funcargs[name] for name in names}))
    return True


async def _on_loop(item: Any, arguments: dict[str, Any]) -> None:
    """Fail the test on an error that no code awaited: it would leave a payer without an answer."""
    broken: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: broken.append(_told(context)))
    try:
        await item.obj(**arguments)
    finally:
        for driver in item.funcargs.get("_drivers", []):
            driver.close()
            await driver.app.close()
    gc.collect(1)
    assert broken == []


def _told(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return "".join(traceback.format_exception(error)) if error else str(context.get("message"))


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def _drivers() -> list[Driver]:
    return []


@pytest.fixture
def start(_drivers: list[Driver], shop: Shop, tmp_path: Path) -> Callable[..., Any]:
    """`await start()` runs the app to its first screen; signed in unless told otherwise."""

    async def make(
        *,
        signed_in: bool = True,
        size: tuple[int, int] = (400, 720),
        opened: list[str] | None = None,
        **preferences: Any,
    ) -> Driver:
        app = make_app(tmp_path, shop, opened=opened, **preferences)
        if signed_in:
            await admit(app)
        driver = Driver(app, size)
        _drivers.append(driver)
        await driver.until(lambda: app.showing != "start")
        return driver

    return make
