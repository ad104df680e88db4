"""Run all background work in one process, without a queue."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay.background.worker import AutocommitOffError, Worker
from django_feexpay.checks import refuse_unsafe_server


class Command(BaseCommand):
    help = (
        "Send queued payments, poll FeexPay about unfinished ones and deliver signals, twice a second, until SIGTERM "
        "or Ctrl-C. You may run several; killing one loses no payment."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=8, help="polls at the same time (default 8)")
        parser.add_argument("--once", action="store_true", help="one sweep, then stop")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_server()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            with Worker(concurrency=options["concurrency"]) as worker:
                if options["once"]:
                    self.stdout.write(f"attempts worked on: {worker.sweep()}")
                    return
                self.stdout.write("feexpay_worker is running.")
                worker.run(stop)
        except AutocommitOffError as error:
            raise CommandError(str(error)) from None
        self.stdout.write("feexpay_worker stopped; the work under way is finished.")
