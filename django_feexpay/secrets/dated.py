"""Secrets with an end: `fp_old until 2026-12-31`. Until then the old one is accepted as well as the new one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from django_feexpay.private import PrivateText

_UNTIL = " until "
#: The end of a secret whose date cannot be read: it is not used. A check reports it.
UNREADABLE_END = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DatedSecret:
    """One secret. `until`: from then on it is neither used nor accepted; None: it has no end."""

    value: str = field(repr=False)
    until: datetime | None = None

    def is_current(self, now: datetime) -> bool:
        return self.until is None or now < self.until

    @property
    def masked(self) -> str:
        """How staff tell two secrets apart: the last four characters of a long one, nothing of a short one."""
        return f"…{self.value[-4:]}" if len(self.value) >= 24 else "•••"


def parse(entry: str) -> DatedSecret:
    """Parse `secret` or `secret until END`. END: a day, whose last moment (UTC) it is, or a time with its offset."""
    value, found, end = (PrivateText(part.strip()) for part in entry.rpartition(_UNTIL))
    return DatedSecret(value, _end(end)) if found else DatedSecret(end)


def _end(text: str) -> datetime:
    try:
        end = datetime.fromisoformat(text)
        if len(text) == len("2026-12-31"):
            return datetime.combine(end, time.min, UTC) + timedelta(days=1)
        return end.astimezone(UTC) if end.tzinfo else UNREADABLE_END
    except (ValueError, OverflowError):  # the last day of the calendar has no next day
        return UNREADABLE_END
