"""A read replica: a second, read-only database with an earlier copy of the first."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection, connections
from psycopg import sql

ALIAS = "replica"


class ReplicaRouter:
    """The router of Django's documentation: every read goes to the replica, except reads of sessions."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return None if model._meta.app_label == "sessions" else ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "default"


class Replica:
    """A replica that changes only by `catch_up`. Call `register` before the test's database is set up."""

    def __init__(self) -> None:
        self._name = f"{connection.settings_dict['NAME']}_replica"
        connections.settings[ALIAS]["NAME"] = self._name

    @staticmethod
    def register() -> None:
        """Register the alias. A test may use only registered databases, and a MIRROR is not emptied after the test."""
        primary = connections.settings["default"]
        read_only = {"options": "-c default_transaction_read_only=on"}
        test = {**primary["TEST"], "MIRROR": "default"}
        connections.settings[ALIAS] = {**primary, "OPTIONS": read_only, "TEST": test}

    @staticmethod
    def forget() -> None:
        del connections.settings[ALIAS]

    def catch_up(self) -> None:
        """Copy the primary. No other thread may use either database."""
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


def rows_in_replica(model: Any) -> int:
    """The number of rows in the replica."""
    found: int = model.objects.using(ALIAS).count()
    return found
