"""Learn which payments changed: LISTEN on PostgreSQL, the counter of commits on a SQLite file.

Without either (psycopg2, a pooler that drops LISTEN, SQLite in memory) nothing is heard, and the hub reads each
payment again after its `next_poll_seconds`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_feexpay.conf import feexpay
from django_feexpay.payments.change_notices import CHANNEL

logger = logging.getLogger("django_feexpay.live_status")

_CHECK_EVERY_SECONDS = 30.0
_CHECK_SECONDS = 10.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_SQLITE_EVERY_SECONDS = 0.2

#: Django's own, which mean nothing to another connection.
_DJANGO_ONLY = ("context", "cursor_factory", "prepare_threshold")
#: A server that is gone without a word is noticed within a minute.
_KEEP_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "connect_timeout": 5}


class Changed(Protocol):
    """Called with the payments that changed; None: any may have changed."""

    def __call__(self, payment_ids: Iterable[UUID] | None = None) -> None: ...


async def listen(changed: Changed) -> None:
    """Call `changed` until cancelled, as far as this database can tell. Returns at once if it cannot."""
    connection = connections[feexpay.live_status_database]
    if connection.vendor == "postgresql":
        await _listen_to_postgresql(connection, changed)
    elif connection.vendor == "sqlite":
        await _watch_sqlite(connection, changed)


async def _listen_to_postgresql(connection: BaseDatabaseWrapper, changed: Changed) -> None:
    try:
        import psycopg
    except ImportError:
        return
    parameters = {
        name: value
        for name, value in connection.get_connection_params().items()  # the same server, user and TLS as Django's
        if name not in _DJANGO_ONLY
    }
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(**_KEEP_ALIVE | parameters, autocommit=True) as listener:
                await listener.execute(f"LISTEN {CHANNEL}")
                changed()  # while no connection listened, any may have changed
                pause = _FIRST_PAUSE_SECONDS
                await _pass_on(listener, changed)
        except (psycopg.Error, OSError, TimeoutError) as error:
            logger.warning("LISTEN failed (%s): event streams poll for %.0f s", type(error).__name__, pause)
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- spreads connections, guards nothing
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def _pass_on(listener: Any, changed: Changed) -> None:
    while True:
        async for notice in listener.notifies(timeout=_CHECK_EVERY_SECONDS):
            try:
                changed([UUID(notice.payload)])
            except ValueError:  # another program may use the channel
                logger.warning("a notice on %s names no payment", CHANNEL)
        async with asyncio.timeout(_CHECK_SECONDS):
            await listener.execute("SELECT 1")


async def _watch_sqlite(connection: BaseDatabaseWrapper, changed: Changed) -> None:
    """SQLite counts the commits of other connections in `data_version`. Reading it locks nothing."""
    path = Path(str(connection.settings_dict["NAME"]))
    if not path.is_file():  # in memory
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        seen: object = None
        while True:
            try:
                version = database.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error:
                version = None
            if version != seen:
                seen = version
                changed()
            await asyncio.sleep(_SQLITE_EVERY_SECONDS)
