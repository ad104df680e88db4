"""The pytest plugin that gives the suite its servers (`-p tests.launcher` in pyproject.toml).

PostgreSQL has to answer before Django's settings are read, which is before any conftest is: hence
a plugin. A DATABASE_URL that is already set wins: `DATABASE_URL=sqlite:///x pytest` runs on SQLite.

With `-n 2` the workers of pytest-xdist inherit what is put into the environment here: one server for all of
them, in which pytest-django gives each a database of its own.
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
    # Workers must collect the same tests in the same order, also where a set is run through.
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
    """A Redis that starts with the first test which asks for it. The tests share it: use keys of your own."""
    with servers.redis() as url:
        yield url
