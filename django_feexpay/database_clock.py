"""The clock of the database, which all hosts share. `conf.now` is the one that the app reads."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

#: How long the monotonic clock continues a reading of the database's clock.
_TRUST_SECONDS = 30.0


class DatabaseClock:
    """PostgreSQL's time, so that workers on hosts with wrong clocks agree on due rows; on SQLite the host's time.

    Each process reads it at most every 30 s and adds the monotonic clock, so a jump of the host's clock has no effect.
    """

    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        if self._read is None or time.monotonic() - self._read[1] > _TRUST_SECONDS:
            if connection.vendor != "postgresql":
                return timezone.now()
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp()")
                self._read = cursor.fetchone()[0].astimezone(UTC), time.monotonic()
        at, monotonic = self._read
        return at + timedelta(seconds=time.monotonic() - monotonic)
