"""A real cluster that freezes when its idle workers are killed, and the watchdog that brings it back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from django_feexpay.models import Attempt, Credit
from tests.background.test_cluster import environment, forget_task, sandbox, wait_until, wake
from tests.payments.conftest import Begin
from tests.sandbox.running import ROOT, RunningSandbox

__all__ = ["environment", "sandbox"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

WORKER = re.compile(r"ready for work at (\d+)")
SILENT_SECONDS = 10


@pytest.mark.parametrize("environment", ["orm"], indirect=True)
def test_frozen_cluster_is_started_again_and_credits(
    environment: dict[str, str], sandbox: RunningSandbox, begin: Begin, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    begin()
    options = ["--silent-seconds", str(SILENT_SECONDS), "--grace-seconds", "2"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "sample_project/manage.py", "feexpay_watchdog", *options],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wake(environment)
        wait_until(lambda: Attempt.objects.filter(status="pending").exists())

        wait_until(lambda: len(WORKER.findall(log.read_text())) == 2)
        workers = [int(pid) for pid in WORKER.findall(log.read_text())]
        for pid in workers:  # at least one of them is idle and holds the lock of the queue
            os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        sandbox.approve(str(Attempt.objects.get().gateway_reference))
        forget_task()
        wake(environment)
        wait_until(lambda: "it is killed and started again" in log.read_text())
        assert not Credit.objects.exists()  # frozen: processes were alive and nothing was done

        forget_task()
        wake(environment)
        wait_until(lambda: Credit.objects.count() == 1)
        print(f"credited {time.monotonic() - killed_at:.0f} s after the kill")
        process.terminate()
        assert process.wait(60) == 0
        assert "feexpay_watchdog stopped." in log.read_text()
    finally:
        process.kill()
        process.wait(30)
