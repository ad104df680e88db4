"""Run all background work in one process, without a queue."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay.background.worker import AutocommitOffError, Worker
from django_feexpay.checks import refuse_unsafe_server
from django_feexpay.monitoring import process_metrics


class Command(BaseCommand):
    help = (
        "Send queued payments, poll FeexPay about unfinished ones and deliver signals, twice a second, until SIGTERM "
        "or Ctrl-C. You may run several; killing one loses no payment."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=8, help="polls at the same time (default 8)")
        parser.add_argument(
            "--metrics",
            metavar="HOST:PORT",
            default="",
            help="serve what this process counts to Prometheus there, for a worker in a container of its own",
        )
        parser.add_argument("--once", action="store_true", help="one sweep, then stop")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_server()
        stop = threading.Event()
        if options["metrics"]:
            _serve_metrics(options["metrics"])
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


def _serve_metrics(address: str) -> None:
    """Serve the counts of this process in a thread. Raises: CommandError."""
    host, _colon, port = address.rpartition(":")
    if not process_metrics.is_installed:
        raise CommandError("--metrics needs prometheus_client: pip install 'django-feexpay[metrics]'")
    if not host or not port.isdecimal():
        raise CommandError("--metrics takes an address and a port, for example 127.0.0.1:9101")
    from prometheus_client import start_http_server

    try:
        start_http_server(int(port), host, process_metrics.registry())
    except OSError as error:
        raise CommandError(f"--metrics {address}: {error.strerror}") from None
