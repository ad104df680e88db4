"""A process that delivers the outbox and is killed with signal 9 before it writes down what was sent.

python -m tests.notifications.killed_deliverer SMTP_PORT (`test_delivery.py` runs it)
"""

from __future__ import annotations

import os
import signal
import sys

import django


def main(port: str) -> None:
    django.setup()
    from django.conf import settings

    from django_feexpay import failpoints
    from django_feexpay.notifications import connect
    from django_feexpay.payments import outbox
    from tests.notifications.conftest import EMAIL, use_mail_server

    use_mail_server(settings, int(port))
    settings.FEEXPAY |= {"NOTIFICATIONS": [EMAIL], "PAYABLE": "any_amount"}
    connect.connect()
    with failpoints.arm("signalled", lambda: os.kill(os.getpid(), signal.SIGKILL)):
        outbox.deliver()


if __name__ == "__main__":
    main(*sys.argv[1:])
