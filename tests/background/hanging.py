"""`feexpay_worker` in a host whose receiver never returns (`test_stopping.py` runs it)."""

from __future__ import annotations

import threading
from typing import Any

import django

if __name__ == "__main__":
    django.setup()
    from django.core.management import call_command

    from django_feexpay.signals import payment_failed

    def hang(**kwargs: Any) -> None:
        print("a receiver hangs", flush=True)
        threading.Event().wait()

    payment_failed.connect(hang)
    call_command("feexpay_worker")
