"""Threads that run at the same time, each with its own database connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection, connections

Value = TypeVar("Value")


def at_once(count: int, work: Callable[[int], Value]) -> list[Value | Exception]:
    """Run `work(0)` … `work(count - 1)` at the same time; return what each returned or raised."""
    gate = threading.Barrier(count, timeout=60)

    def run(number: int) -> Value | Exception:
        try:
            gate.wait()
            return work(number)
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def wait_for_a_blocked_connection() -> None:
    """Wait until another connection waits for a lock that this one holds. Raises AssertionError after a minute.

    Works inside a transaction, as it reads `pg_locks` anew each time. Other tests use other databases of the same
    server, so a connection that waits for them does not count.
    """
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        with connection.cursor() as cursor:
            cursor.execute(blocked)
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nothing waits for a lock")
