"""An app of the soak's shop with a receiver that hangs on certain payments while a file exists."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig

if TYPE_CHECKING:
    from django_feexpay.models import Payment

#: Environment variables: the amounts, separated by commas, and the path of the file.
AMOUNTS, FILE = "SOAK_HUNG_AMOUNTS", "SOAK_HUNG_FILE"


class HungReceiverConfig(AppConfig):
    name = "tests.soak"
    label = "hung_receiver"

    def ready(self) -> None:
        from django_feexpay.signals import payment_succeeded

        payment_succeeded.connect(hang, dispatch_uid="soak_hang")


def hang(*, payment: Payment, **kwargs: Any) -> None:
    """Return when the file is gone; at once for other amounts. Safe to repeat: yes."""
    file = Path(os.environ[FILE])
    if payment.amount not in amounts():
        return
    while file.exists():
        file.with_name(f"{file.name} on {payment.amount}").touch()
        time.sleep(0.5)


def amounts() -> list[int]:
    """The amounts of the payments on which the receiver hangs."""
    return [int(amount) for amount in os.environ.get(AMOUNTS, "").split(",") if amount]


def count_hung(file: Path) -> int:
    """The number of payments on which the receiver has hung."""
    return len(list(file.parent.glob(f"{file.name} on *")))
