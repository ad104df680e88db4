"""What goes wrong from outside: deaths without warning, and a database that goes away."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import psycopg

from tests.soak.fleet import Fleet
from tests.soak.plan import Plan
from tests.soak.wire import wait_until

_DATABASE_BACK_SECONDS = 30.0


class Faults:
    """Let the faults of a plan happen, each at its time. `say` hears of each as it happens."""

    def __init__(self, fleet: Fleet, database_url: str, say: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._database_url = database_url
        self._say = say

    def happen(self, plan: Plan, interrupted: threading.Event) -> None:
        """All of them, unless interrupted; a database that went away is back when it returns."""
        began_at = time.monotonic()
        for fault in plan.faults:
            if interrupted.wait(max(0.0, began_at + fault.at_seconds - time.monotonic())):
                return
            self._say(fault.what)
            self._strike(fault.what)

    def _strike(self, what: str) -> None:
        verb, _, target = what.partition(" ")
        if verb == "kill":
            self._fleet.restart(target)
        elif verb == "crash":
            self._crash_database()
        else:
            self._cut_connections()

    def _crash_database(self) -> None:
        """kill -9 of a backend: PostgreSQL then ends all the others at once and recovers from its log."""
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
