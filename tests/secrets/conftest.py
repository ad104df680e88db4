from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from django_feexpay import conf
from tests.conftest import Configure
from tests.payments.conftest import guarded_calls_and_any_price
from tests.secrets.stores import AwsStore, FileStore, Store, VaultStore, run_vault

#: Of every test in this folder.
__all__ = ["guarded_calls_and_any_price"]


@pytest.fixture(scope="session")
def aws_address() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def forgotten_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test reads its secrets anew."""
    monkeypatch.setattr(conf, "_secrets", None)
    monkeypatch.setattr(conf, "_refused_keys", conf.RefusedKeys())


Use = Callable[[Store], Store]


@pytest.fixture
def use(configure: Configure, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Use:
    """`use(store)`: the settings and the environment name this store, and hold no key themselves."""

    def choose(store: Store) -> Store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        configure(API_KEY="", WEBHOOK_SECRETS="", **store.settings)
        return store

    return choose


@pytest.fixture
def vault(use: Use) -> Iterator[VaultStore]:
    with run_vault() as store:
        yield use(store)  # type: ignore[misc]  # the same object


#: moto, which plays AWS, logs what is stored in it.
_MOTO_LOGS = pytest.mark.leaks


@pytest.fixture(params=["files", pytest.param("aws", marks=_MOTO_LOGS), "vault"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind of store in turn."""
    if request.param == "vault":
        found: VaultStore = request.getfixturevalue("vault")
        return found
    use: Use = request.getfixturevalue("use")
    if request.param == "files":
        return use(FileStore(tmp_path))
    return use(AwsStore(request.getfixturevalue("aws_address")))
