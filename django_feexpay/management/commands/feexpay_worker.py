"""All background work, in one process without a queue."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_feexpay.background.worker import Worker
from django_feexpay.checks import refuse_unsafe_server


class Command(BaseCommand):
    help = (
        "Ask FeexPay about unfinished payments, send queued ones, deliver signals. Looks for work twice a second, "
        "until SIGTERM or Ctrl-C. Any number may run; killing one loses nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=8, help="calls to FeexPay at once (default 8)")
        parser.add_argument("--once", action="store_true", help="one sweep, then stop")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_server()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        with Worker(concurrency=options["concurrency"]) as worker:
            if options["once"]:
                self.stdout.write(f"seen to: {worker.sweep()}")
                return
            self.stdout.write("feexpay_worker is at work.")
            worker.run(stop)
        self.stdout.write("feexpay_worker stopped; what was under way is finished.")
