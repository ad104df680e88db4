"""Starts a django-q2 cluster and starts it again when it is frozen.

One `kill -9` of an idle worker process, for example by the kernel's OOM killer, can freeze a cluster forever: the dead
process holds the lock of the queue, and the processes that replace it wait for that lock. The cluster still runs, so no
process manager notices. Its heartbeat stops, which this watchdog does notice.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from django.db import Error as AnyDatabaseError
from django.db import connection

from django_feexpay import conf
from django_feexpay.background.database_errors import cause_of
from django_feexpay.background.worker import CLUSTER, is_recent
from django_feexpay.models import Heartbeat

logger = logging.getLogger("django_feexpay.worker")

_LOOK_EVERY_SECONDS = 1.0
_RESTART_PAUSE_SECONDS = 1.0


class Watchdog:
    """Keeps one cluster alive. `silent`: a cluster without a heartbeat for this time is frozen.

    `grace_seconds`: how long a cluster may take to stop by SIGTERM before it is killed with all its processes.
    """

    def __init__(self, command: Sequence[str], *, silent: timedelta, grace_seconds: float) -> None:
        self._command, self._silent, self._grace_seconds = list(command), silent, grace_seconds
        self._cluster: subprocess.Popen[bytes] | None = None
        self._patient_until = 0.0

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set, then stop the cluster."""
        self._start()
        while not stop.wait(_LOOK_EVERY_SECONDS):
            if self._cluster is not None and self._cluster.poll() is not None:
                logger.error("the cluster ended with code %s: it is started again", self._cluster.returncode)
                stop.wait(_RESTART_PAUSE_SECONDS)
                self._end()
                self._start()
            elif self._is_frozen():
                seconds = self._silent.total_seconds()
                logger.error("the cluster has sent no heartbeat for %d s: it is killed and started again", seconds)
                self._end()
                self._start()
        self._end()

    def _start(self) -> None:
        self._cluster = subprocess.Popen(self._command, start_new_session=True)  # noqa: S603 -- our own manage.py
        self._be_patient()

    def _be_patient(self) -> None:
        self._patient_until = time.monotonic() + self._silent.total_seconds()

    def _is_frozen(self) -> bool:
        """Whether the heartbeat is too old, once the cluster has had the time to send one."""
        try:
            beat_at = Heartbeat.objects.filter(name=CLUSTER).values_list("beat_at", flat=True).first()
        except AnyDatabaseError as error:  # without a database no cluster sends heartbeats
            logger.error("the watchdog reads no heartbeat: %s", cause_of(error))
            connection.close()
            self._be_patient()
            return False
        if beat_at is not None and is_recent(beat_at, conf.now(), self._silent):
            return False
        return time.monotonic() >= self._patient_until

    def _end(self) -> None:
        """Stop the cluster: SIGTERM, then SIGKILL to its whole process group."""
        if self._cluster is None:
            return
        self._cluster.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._cluster.wait(self._grace_seconds)
        with suppress(ProcessLookupError):
            os.killpg(self._cluster.pid, signal.SIGKILL)  # also processes that outlived it
        self._cluster.wait()
        self._cluster = None
