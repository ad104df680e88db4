"""FeexPay payments for Django: every name that a host project needs, documented in docs/reference/python.md.

Importing this package imports no Django: each name is imported from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_feexpay.catalogue.providers import ProviderCode as ProviderCode
    from django_feexpay.lifecycle import Detail as Detail
    from django_feexpay.lifecycle import PublicStatus as PublicStatus
    from django_feexpay.lifecycle import Status as Status
    from django_feexpay.payable import Payable as Payable
    from django_feexpay.payments.errors import FieldError as FieldError
    from django_feexpay.payments.errors import InsideAtomicError as InsideAtomicError
    from django_feexpay.payments.errors import NotAllowedError as NotAllowedError
    from django_feexpay.payments.terms import Quote as Quote
    from django_feexpay.python_api import astart_payment as astart_payment
    from django_feexpay.python_api import close_review as close_review
    from django_feexpay.python_api import guess_provider as guess_provider
    from django_feexpay.python_api import quote as quote
    from django_feexpay.python_api import reconcile_payment as reconcile_payment
    from django_feexpay.python_api import retry_payment as retry_payment
    from django_feexpay.python_api import start_payment as start_payment
    from django_feexpay.python_api import submit_otp as submit_otp

__version__ = "0.1.0"

_MODULE_OF = {
    "Detail": "lifecycle",
    "FieldError": "payments.errors",
    "InsideAtomicError": "payments.errors",
    "NotAllowedError": "payments.errors",
    "Payable": "payable",
    "ProviderCode": "catalogue.providers",
    "PublicStatus": "lifecycle",
    "Quote": "payments.terms",
    "Status": "lifecycle",
    "astart_payment": "python_api",
    "close_review": "python_api",
    "guess_provider": "python_api",
    "quote": "python_api",
    "reconcile_payment": "python_api",
    "retry_payment": "python_api",
    "start_payment": "python_api",
    "submit_otp": "python_api",
}
__all__ = ["__version__", *_MODULE_OF]

if not TYPE_CHECKING:  # seen by a type checker, it would give every misspelled name the type Any

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
