"""PostgreSQL's advisory locks, for what has no row to lock yet. SQLite has one writer and needs none."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from django.db import connection

#: What is locked. Each kind has a number of its own, so that two kinds never wait for each other.
USER, MSISDN, UNKNOWN_WEBHOOKS = 0xFEE9, 0xFEEA, 0xFEEB


def lock(kind: int, numbers: Iterable[int] = (0,)) -> None:
    """Lock these numbers of one kind, in this order, until the transaction ends.

    Callers that lock several numbers must sort them, or two of them can deadlock.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for number in numbers:
                cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [kind, number])


def number_of(text: str) -> int:
    """A signed 32-bit number for a text. If two texts share one, their transactions only wait without need."""
    return zlib.crc32(text.encode()) - 2**31
