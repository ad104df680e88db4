"""The pytest plugin that starts the suite's servers (`-p tests.launcher` in pyproject.toml).

Django's settings need DATABASE_URL, and they are read before any conftest. So a plugin starts PostgreSQL. If
DATABASE_URL is already set, it is used: `DATABASE_URL=sqlite:///x pytest` runs on SQLite.

With `-n 2` the workers of pytest-xdist inherit the environment and share one server. pytest-django creates a database
for each worker.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import servers


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Workers must collect the same tests in the same order, also where tests are made from a set.
    os.environ.setdefault("PYTHONHASHSEED", str(random.randrange(2**32)))
    if "DATABASE_URL" in os.environ:
        return
    stack = ExitStack()
    early_config.add_cleanup(stack.close)
    os.environ["DATABASE_URL"] = stack.enter_context(servers.postgres())
    stack.callback(os.environ.pop, "DATABASE_URL", None)


def pytest_report_header() -> str:
    return f"order of sets in workers: PYTHONHASHSEED={os.environ['PYTHONHASHSEED']}"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that starts with the first test that needs it. Tests share it, so each must use its own keys."""
    with servers.redis() as url:
        yield url
