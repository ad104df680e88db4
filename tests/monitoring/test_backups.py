"""The facts about backups: silence and failure are trouble."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.core.management import call_command

from django_feexpay.models import Heartbeat
from django_feexpay.monitoring import backups, facts
from django_feexpay.monitoring.backups import Work
from tests.monitoring.test_facts import measured, troubles
from tests.payments.fakes import Clock


def begin_healthy(now: datetime) -> None:
    for name in ("worker", "gateway", "gateway_probe"):
        Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": now})


@pytest.mark.django_db
def test_silence_and_failure_of_backups_are_trouble_from_the_first_note_on(clock: Clock) -> None:
    begin_healthy(clock.at)
    assert [measured()[name] for name in ("backup_failed", "backup_late", "restore_test_late")] == [{}, {}, {}]

    call_command("feexpay_note_backup", "backup")
    assert troubles() == {"restore_test_late"}  # one that was never restored is none
    call_command("feexpay_note_backup", "restore_test")
    assert troubles() == set()

    clock.advance(60)
    call_command("feexpay_note_backup", "restore_test", "--failed")
    assert [trouble.subject for trouble in facts.troubles(measured())] == ["restore_test"]
    clock.advance(60)
    backups.note(Work.RESTORE_TEST)
    assert troubles() == set()

    clock.advance(27 * 3600)
    begin_healthy(clock.at)
    assert troubles() >= {"backup_late"}
    clock.advance(40 * 24 * 3600)
    call_command("feexpay_purge")
    begin_healthy(clock.at)
    assert troubles() >= {"backup_late", "restore_test_late"}
