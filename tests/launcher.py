"""The pytest plugin that gives the suite its servers (`-p tests.launcher` in pyproject.toml).

PostgreSQL has to answer before Django's settings are read, which is before any conftest is: hence
a plugin. A DATABASE_URL that is already set wins: `DATABASE_URL=sqlite:///x pytest` runs on SQLite.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import servers


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # An xdist worker inherits the URL of the one server that its parent started.
    if "DATABASE_URL" in os.environ:
        return
    stack = ExitStack()
    early_config.add_cleanup(stack.close)
    os.environ["DATABASE_URL"] = stack.enter_context(servers.postgres())
    stack.callback(os.environ.pop, "DATABASE_URL", None)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that starts with the first test which asks for it. The tests share it: use keys of your own."""
    with servers.redis() as url:
        yield url
