"""What one worker does once a minute for the monitoring, however many workers run."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import DatabaseError

from django_feexpay import conf
from django_feexpay.models import Heartbeat
from django_feexpay.monitoring import alerts, uptime

#: The name of its heartbeat.
MONITOR = "monitor"
#: A little less than a minute, so that a worker whose timer is a minute does not miss every second turn.
_EVERY = timedelta(seconds=50)


def run() -> None:
    """Note that payments are worked on, and tell the team what began and ended.

    Changes: Heartbeat, Counter, Alert. Safe to repeat: yes, also concurrently. Raises: DatabaseError.
    """
    try:
        now = conf.now()
        is_mine, last = _claim(now)
        if not is_mine:
            return
        uptime.note_report(now, last)
        alerts.note_database_back()
        alerts.update(now)
    except DatabaseError:
        alerts.note_database_away()
        raise
    alerts.send(now)


def _claim(now: datetime) -> tuple[bool, datetime | None]:
    """Whether this worker takes this minute, and when a worker last took one."""
    row, is_first = Heartbeat.objects.get_or_create(name=MONITOR, defaults={"beat_at": now})
    if is_first:
        return True, None
    last = row.beat_at
    if timedelta(0) <= now - last < _EVERY:
        return False, last
    is_mine = Heartbeat.objects.filter(name=MONITOR, beat_at=last).update(beat_at=now) == 1
    return is_mine, last if last <= now else None  # a clock that was ahead is corrected
