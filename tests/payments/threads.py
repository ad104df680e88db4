"""Several threads at the same place at the same time, each with a database connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

Value = TypeVar("Value")


def at_once(count: int, work: Callable[[int], Value]) -> list[Value | Exception]:
    """Run `work(0)` … `work(count - 1)` from one starting gun; what each returned or raised."""
    gate = threading.Barrier(count, timeout=30)

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
