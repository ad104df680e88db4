"""The threads of a task end after seconds, and their database connections must be closed with them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import close_old_connections, connection

from django_feexpay.background.worker_pool import WorkerPool

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]


@pytest.fixture
def kept_open(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 60)


def test_connections_stay_open_between_claims_and_are_closed_with_the_pool(kept_open: None) -> None:
    opened: list[Any] = []
    gate = threading.Barrier(3, timeout=30)

    def use_connection() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        opened.append(connection.connection)
        gate.wait()
        close_old_connections()

    pool = WorkerPool(3, "test")
    for _ in range(3):
        pool.put(use_connection)
    pool.wait()
    assert [line.closed for line in opened] == [False] * 3, "they are kept for the next claim"

    pool.close()

    assert [line.closed for line in opened] == [True] * 3


def test_threads_are_started_when_needed_and_reused() -> None:
    names: set[int] = set()
    pool = WorkerPool(8, "test")
    for _ in range(5):
        pool.put(lambda: names.add(threading.get_ident()))
        pool.wait()
    pool.close()

    assert len(names) <= 2
    assert pool.free == 8


def test_error_ends_neither_the_thread_nor_the_wait() -> None:
    done: list[int] = []
    pool = WorkerPool(1, "test")

    def fail() -> None:
        raise SystemExit

    pool.put(fail)
    pool.put(lambda: done.append(1))
    pool.wait()
    pool.close()

    assert done == [1]
