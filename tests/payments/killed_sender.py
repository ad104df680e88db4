"""A process that starts a payment and is killed with signal 9 at a failpoint; `test_crashes.py` runs it.

python -m tests.payments.killed_sender USER_ID BASE_URL FAILPOINT
"""

from __future__ import annotations

import os
import signal
import sys

import django


def main(user_id: str, base_url: str, failpoint: str) -> None:
    django.setup()
    from django.conf import settings
    from django.contrib.auth import get_user_model

    from django_feexpay import failpoints
    from django_feexpay.payments import initiate
    from django_feexpay.payments.ledger import Source
    from django_feexpay.payments.terms import PaymentRequest

    settings.FEEXPAY |= {"BASE_URL": base_url, "PAYABLE": "any_amount"}
    user = get_user_model().objects.get(pk=user_id)
    payment_request = PaymentRequest(user=user, provider="mtn_bj", amount=5000, phone="0161000050")
    with failpoints.arm(failpoint, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        initiate.start(payment_request, source=Source.API)


if __name__ == "__main__":
    main(*sys.argv[1:])
