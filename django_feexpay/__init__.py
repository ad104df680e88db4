"""FeexPay payments for Django. The five functions a host calls; everything else is reached through its own room.

Importing this package imports no Django: the functions are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_feexpay.python_api import close_review, reconcile_payment, retry_payment, start_payment, submit_otp

__version__ = "0.1.0"
__all__ = ["__version__", "close_review", "reconcile_payment", "retry_payment", "start_payment", "submit_otp"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("django_feexpay.python_api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
