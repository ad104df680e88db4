"""How many webhooks were dropped because there were too many. They are not stored, so this count is their only trace.

The count is a row per minute in our own table of counters, so health can read it without a cache.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError

from django_feexpay import conf
from django_feexpay.models import Counter
from django_feexpay.tally import Tally

logger = logging.getLogger("django_feexpay.webhooks")

_PREFIX = "feexpay:webhooks:dropped:"
_KEPT = timedelta(days=1)
#: Health reports a flood for this long after the last dropped webhook.
FLOOD = timedelta(minutes=10)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Drops:
    """The webhooks dropped in the last ten minutes, hour and day."""

    lately: int
    hour: int
    day: int


def note(number: int = 1) -> None:
    """Count dropped webhooks. At most one write a second in each process. Never raises."""
    if number:
        _tally.note(f"{_PREFIX}{int(conf.now().timestamp()) // 60}", number=number)


def read(now: datetime) -> Drops:
    """The counts, at most a second late for the drops of other processes. Raises: DatabaseError."""
    _tally.flush()
    rows = Counter.objects.written_with(_PREFIX, now)
    written = [(expires_at - _KEPT, value) for expires_at, value in rows]
    return Drops(*(sum(value for at, value in written if at > now - period) for period in (FLOOD, HOUR, _KEPT)))


def forget_pending() -> None:
    """Forget the drops of this process that were not written yet, for tests."""
    _tally.clear()


def _write(name: str, number: int) -> None:
    try:
        Counter.objects.increase(name, _KEPT.total_seconds(), number)
        Counter.objects.drop_expired(conf.now())
    except DatabaseError as error:  # a missing count must not refuse the webhook
        logger.error("%d dropped webhooks were not counted: %s", number, type(error).__name__)


_tally = Tally(_write)
