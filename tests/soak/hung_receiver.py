"""An app of the soak's shop: a receiver that hangs on certain payments' signals for as long as a file is there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig

if TYPE_CHECKING:
    from django_feexpay.models import Payment

#: The amounts, with commas between, and the file.
AMOUNTS, FILE = "SOAK_HUNG_AMOUNTS", "SOAK_HUNG_FILE"


class HungReceiverConfig(AppConfig):
    name = "tests.soak"
    label = "hung_receiver"

    def ready(self) -> None:
        from django_feexpay.signals import payment_succeeded

        payment_succeeded.connect(hang, dispatch_uid="soak_hang")


def hang(*, payment: Payment, **kwargs: Any) -> None:
    """Return when the file is gone, or at once if the payment is another's. Safe to repeat: yes."""
    amounts = os.environ[AMOUNTS].split(",")
    while str(payment.amount) in amounts and Path(os.environ[FILE]).exists():
        time.sleep(0.5)
