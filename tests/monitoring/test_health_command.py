"""`feexpay_health`: what process managers and operators get from the exit code."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_feexpay.models import Heartbeat
from tests.api.test_health import database_unavailable
from tests.conftest import Configure

pytestmark = pytest.mark.django_db


def ended(*arguments: str) -> tuple[int, str]:
    """The exit code and what was written."""
    out = io.StringIO()
    try:
        call_command("feexpay_health", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def beat(name: str, seconds: float) -> Any:
    at = timezone.now() - timedelta(seconds=seconds)
    return Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": at})


def test_exit_codes_tell_ok_degraded_and_down() -> None:
    beat("worker", 2)
    assert ended()[0] == 0

    beat("worker", 200)
    code, written = ended()
    assert code == 1
    assert "worker: silent" in written
    assert "✘ worker_silent: No background process runs." in written
    assert "    Start `manage.py feexpay_worker`" in written

    with database_unavailable():
        assert ended()[0] == 2


def test_live_is_about_the_background_process(configure: Configure) -> None:
    beat("cluster", 200)
    assert ended("live") == (1, "last heartbeat: 3\u00a0min")

    configure(MONITOR_THRESHOLDS="worker_silent:300")
    assert ended("live")[0] == 0
    with database_unavailable():  # a restart would not bring the database back
        assert ended("live")[0] == 0


def test_ready_is_about_this_process() -> None:
    assert ended("ready") == (0, "database: ok, migrations: ok\n")
    with database_unavailable():
        assert ended("ready")[0] == 1
