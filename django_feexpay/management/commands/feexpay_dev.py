"""The sandbox and a worker in one command, for a developer's machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from django_feexpay.background.worker import Worker
from django_feexpay.catalogue.web_addresses import LOOPBACK
from django_feexpay.conf import feexpay
from django_feexpay.gateway.signatures import current
from django_feexpay.monitoring.webhook_route import webhook_path

_START_SECONDS = 20
_STOP_SECONDS = 10


class Command(BaseCommand):
    help = (
        "Run the sandbox and a worker together until Ctrl-C; run your web server next to it. The sandbox listens on "
        'the port of FEEXPAY["BASE_URL"] and sends its webhooks to your project. Refused in production.'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--site", default="http://127.0.0.1:8000", help="where your web server listens (default %(default)s)"
        )
        parser.add_argument("--state", default="", help="file that keeps the sandbox's payments (default: temporary)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not feexpay.sandbox_allowed:
            raise CommandError(
                "This is production: a sandbox would decide who has paid."
                ' On a test server set FEEXPAY["ENVIRONMENT"] to "staging".'
            )
        path = webhook_path()
        if not path:
            raise CommandError('Add path("payments/", include("django_feexpay.urls")) to your urls first.')
        webhook_url = options["site"].rstrip("/") + path
        stop, stop_requested = threading.Event(), threading.Event()

        def request_stop(*_: object) -> None:
            stop_requested.set()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, request_stop)
        with _running_sandbox(_sandbox_variables(webhook_url, options["state"]), on_exit=stop.set):
            self.stdout.write(f"The sandbox sends webhooks to {options['site']}. The worker is running. Stop: Ctrl-C")
            with Worker() as worker:
                worker.run(stop)
        if not stop_requested.is_set():
            raise CommandError("The sandbox stopped; its last lines are above.")
        self.stdout.write("Sandbox and worker stopped.")


def _sandbox_variables(webhook_url: str, state: str) -> dict[str, str]:
    """The sandbox's options as environment variables, because other users can read the arguments of a process."""
    address = urlsplit(feexpay.base_url)
    if address.hostname not in LOOPBACK or address.port is None:
        raise CommandError('Set FEEXPAY["BASE_URL"] to a port of this machine: "http://127.0.0.1:8801/api".')
    named = {
        "host": address.hostname,
        "port": str(address.port),
        "state": state,
        "webhook_url": webhook_url,
        "api_key": feexpay.api_key.reveal(),
        "shop_id": feexpay.shop_id,
    }
    for mode in feexpay.webhook_modes:
        secrets = current(feexpay.webhook_secrets, time.time())
        secret = next((one.value for one in secrets if one.mode in (mode, None)), "")
        if mode == "url_token":
            named["webhook_url"] = f"{webhook_url}{secret}/"
        elif mode != "status":
            named |= {"webhook_mode": mode, "webhook_secret": secret}
    return {f"FEEXPAY_SANDBOX_{name.upper()}": value for name, value in named.items() if value}


def _wait_until_it_listens(sandbox: subprocess.Popen[bytes]) -> None:
    """Wait until the sandbox answers a request or has ended.

    Then it has printed its addresses, and it will answer the worker's first probe. A connection alone says too little:
    the socket listens before the server is ready.
    """
    address = urlsplit(feexpay.base_url)
    give_up_at = time.monotonic() + _START_SECONDS
    while sandbox.poll() is None and time.monotonic() < give_up_at:
        with suppress(OSError), socket.create_connection((address.hostname or "", address.port or 0), 1) as connection:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            if connection.recv(1):
                return
        time.sleep(0.1)


@contextmanager
def _running_sandbox(variables: dict[str, str], *, on_exit: Any) -> Iterator[None]:
    """A sandbox process until the block ends. Calls `on_exit` when the process ends earlier."""
    command = [sys.executable, "-m", "django_feexpay.sandbox"]
    sandbox = subprocess.Popen(command, env={**os.environ, **variables})  # noqa: S603 -- our own program
    threading.Thread(target=lambda: (sandbox.wait(), on_exit()), daemon=True).start()
    try:
        _wait_until_it_listens(sandbox)
        yield
    finally:
        sandbox.terminate()
        try:
            sandbox.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            sandbox.kill()
