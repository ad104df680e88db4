"""The share of the last day in which a worker reached the database, computed from the seconds in which none did.

The worker reports each minute. A report that comes late adds the missing seconds to a row of its hour, so this needs no
history of its own and survives restarts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django_feexpay.models import Counter

#: Reports come once a minute. Only a report that is later than this counts as an outage.
_EVERY, _LATE = timedelta(seconds=60), timedelta(seconds=90)
_PREFIX = "feexpay:uptime:down:"
_DAY = timedelta(days=1)
_KEPT = _DAY + timedelta(hours=1)
#: Written with the first report, so that a new installation is not "down" for the time before it.
_FIRST = "feexpay:uptime:since"
_FIRST_KEPT = timedelta(days=3650)


def note_report(now: datetime, last: datetime | None) -> None:
    """Note that a worker reached the database now. `last`: when one did before; None: never. Changes: Counter."""
    if last is None:
        Counter.objects.set_first(_FIRST, 1, _FIRST_KEPT.total_seconds())
        return
    gap = now - last
    if gap > _LATE:
        seconds = int(min(gap - _EVERY, _DAY).total_seconds())
        Counter.objects.increase(f"{_PREFIX}{int(now.timestamp()) // 3600}", _KEPT.total_seconds(), seconds)


def percent(now: datetime) -> float | None:
    """The share of the last 24 hours; None before the first report."""
    if not Counter.objects.read([_FIRST]):
        return None
    rows = Counter.objects.written_with(_PREFIX, now)
    down = sum(value for expires_at, value in rows if expires_at - _KEPT > now - _DAY)
    return 100 * max(0.0, 1 - down / _DAY.total_seconds())
