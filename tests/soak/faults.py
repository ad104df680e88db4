"""Fault injection from outside: kill -9, a crash of PostgreSQL, cut database connections."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import psycopg

from tests.soak.clients import wait_until
from tests.soak.plan import Plan
from tests.soak.processes import Processes

_DATABASE_BACK_SECONDS = 30.0


class Faults:
    """Injects the faults of a plan, each at its time, and reports each to `say`."""

    def __init__(self, processes: Processes, database_url: str, say: Callable[[str], None]) -> None:
        self._processes = processes
        self._database_url = database_url
        self._say = say

    def inject_all(self, plan: Plan, interrupted: threading.Event) -> None:
        """Inject every fault unless interrupted. When it returns, the database accepts connections again."""
        began_at = time.monotonic()
        for fault in plan.faults:
            if interrupted.wait(max(0.0, began_at + fault.at_seconds - time.monotonic())):
                return
            self._say(fault.what)
            self._inject(fault.what)

    def _inject(self, what: str) -> None:
        verb, _, target = what.partition(" ")
        if verb == "kill":
            self._processes.restart(target)
        elif verb == "crash":
            self._crash_database()
        else:
            self._cut_connections()

    def _crash_database(self) -> None:
        """kill -9 a backend: PostgreSQL then ends all others and recovers from its log."""
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        wait_until(self._database_answers, seconds=_DATABASE_BACK_SECONDS)

    def _cut_connections(self) -> None:
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def _database_answers(self) -> bool:
        try:
            with psycopg.connect(self._database_url, autocommit=True) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True
