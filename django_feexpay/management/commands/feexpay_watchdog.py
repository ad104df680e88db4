"""Run a django-q2 cluster and start it again when it is frozen."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay.background.watchdog import Watchdog
from django_feexpay.checks import refuse_unsafe_server


class Command(BaseCommand):
    help = (
        "Start a qcluster and watch its heartbeat, until SIGTERM or Ctrl-C. A cluster can freeze when one of its idle "
        "processes is killed: it is then killed and started again. Run it in place of `qcluster`, after "
        "feexpay_schedule."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--silent-seconds", type=int, default=180, help="no heartbeat for so long: frozen (default 180)"
        )
        parser.add_argument(
            "--grace-seconds", type=int, default=60, help="how long a cluster may take to stop (default 60)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not apps.is_installed("django_q"):
            raise CommandError("django_q is not in INSTALLED_APPS: there is no cluster. Run feexpay_worker.")
        refuse_unsafe_server()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        command = [sys.executable, sys.argv[0], "qcluster"]
        silent = timedelta(seconds=options["silent_seconds"])
        Watchdog(command, silent=silent, grace_seconds=options["grace_seconds"]).run(stop)
        self.stdout.write("feexpay_watchdog stopped.")
