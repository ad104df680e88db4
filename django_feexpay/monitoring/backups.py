"""What the scripts that make and test backups tell the shop, so that their failure or silence is an alert.

The package makes no backup itself. Facts about backups exist from the first note on.
"""

from __future__ import annotations

from enum import StrEnum

from django_feexpay import conf
from django_feexpay.models import Heartbeat


class Work(StrEnum):
    """The kinds of work about backups. The values are names of heartbeats."""

    BACKUP = "backup"
    RESTORE_TEST = "restore_test"

    @property
    def failed(self) -> str:
        """The name of the heartbeat of the last failure."""
        return f"{self.value}_failed"


def note(work: Work, *, failed: bool = False) -> None:
    """Note that a backup, or the restore test of one, ended now. Changes: Heartbeat. Safe to repeat: yes."""
    name = work.failed if failed else work.value
    Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": conf.now()})
