"""A read replica: a second database with a copy of the first as it was when it last caught up, and read-only."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection, connections
from psycopg import sql

ALIAS = "replica"


class ReadsFromTheReplica:
    """The router of Django's docs: reads go to the replica, writes to the primary. Sessions use the primary only."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return None if model._meta.app_label == "sessions" else ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "default"


class Replica:
    """Frozen until `catch_up`. `register` it before the test's database is set up."""

    def __init__(self) -> None:
        self._name = f"{connection.settings_dict['NAME']}_replica"
        connections.settings[ALIAS]["NAME"] = self._name

    @staticmethod
    def register() -> None:
        """Django's test runner lets a test use only databases that it knows, and empties those that mirror none."""
        primary = connections.settings["default"]
        read_only = {"options": "-c default_transaction_read_only=on"}
        test = {**primary["TEST"], "MIRROR": "default"}
        connections.settings[ALIAS] = {**primary, "OPTIONS": read_only, "TEST": test}

    @staticmethod
    def forget() -> None:
        del connections.settings[ALIAS]

    def catch_up(self) -> None:
        """Copy the primary as it is now. No other thread may use either database meanwhile."""
        connections.close_all()
        self._administer("DROP DATABASE IF EXISTS {replica} WITH (FORCE)")
        self._administer("CREATE DATABASE {replica} TEMPLATE {primary}")

    def drop(self) -> None:
        connections.close_all()
        self._administer("DROP DATABASE IF EXISTS {replica} WITH (FORCE)")
        if hasattr(connections._connections, ALIAS):
            del connections[ALIAS]

    def _administer(self, statement: str) -> None:
        primary = connections.settings["default"]
        names = {"replica": sql.Identifier(self._name), "primary": sql.Identifier(primary["NAME"])}
        where = {"host": primary["HOST"], "port": primary["PORT"], "user": primary["USER"]}
        with psycopg.connect(**where, password=primary["PASSWORD"], dbname="postgres", autocommit=True) as server:
            server.execute(sql.SQL(statement).format(**names))  # type: ignore[arg-type]  # our own statements


def rows_there(model: Any) -> int:
    """How many rows of a table the replica knows, read as a host's own code may."""
    found: int = model.objects.using(ALIAS).count()
    return found
