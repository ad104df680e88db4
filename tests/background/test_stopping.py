"""SIGTERM stops a worker whose receiver never returns; the message stays for the next worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection

from django_feexpay.models import OutboxMessage
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import now
from tests.sandbox.running import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

#: systemd allows 90 s. The worker waits four seconds for receivers.
TIMEOUT_SECONDS = 60


def test_worker_ends_after_sigterm_although_a_receiver_never_returns(begin: Begin, gateway: ModelGateway) -> None:
    OutboxMessage.objects.create(payment=begin(), signal="payment_failed", next_delivery_at=now(), created_at=now())
    name = connection.settings_dict["NAME"]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project",
        "DATABASE_URL": urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}")),
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "FEEXPAY_BASE_URL": "http://127.0.0.1:9/api",  # nothing listens there, and nothing needs to
        "FEEXPAY_FIELD_KEYS": ",".join(settings.FEEXPAY["FIELD_KEYS"]),
        "FEEXPAY_HASH_KEY": settings.FEEXPAY["HASH_KEY"],
    }
    command = [sys.executable, "-m", "tests.background.hanging"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        last_resort = threading.Timer(2 * TIMEOUT_SECONDS, process.kill)
        last_resort.start()
        try:
            assert process.stdout is not None
            assert "feexpay_worker is running.\n" in process.stdout
            assert "a receiver hangs\n" in process.stdout
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            last_resort.cancel()
            process.kill()

    assert process.returncode == 0
    assert "feexpay_worker stopped" in rest
    message = OutboxMessage.objects.get()
    assert (message.delivered_at, message.last_error) == (None, "hangs: __main__.hang")
    assert message.next_delivery_at is not None
