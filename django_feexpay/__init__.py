"""FeexPay payments for Django: every name that a host project needs (docs/reference/python.md).

The package itself does not import Django: it imports each name from its module at the first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_feexpay.catalogue.providers import ProviderCode as ProviderCode
    from django_feexpay.checkout.addresses import checkout_url as checkout_url
    from django_feexpay.checkout.addresses import read_return as read_return
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

_NAMES = {
    "catalogue.providers": ("ProviderCode",),
    "checkout.addresses": ("checkout_url", "read_return"),
    "lifecycle": ("Detail", "PublicStatus", "Status"),
    "payable": ("Payable",),
    "payments.errors": ("FieldError", "InsideAtomicError", "NotAllowedError"),
    "payments.terms": ("Quote",),
    "python_api": (
        *("astart_payment", "close_review", "guess_provider", "quote", "reconcile_payment", "retry_payment"),
        *("start_payment", "submit_otp"),
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
__all__ = ["__version__", *_MODULE_OF]

if not TYPE_CHECKING:  # a type checker that saw it would accept every misspelled name as Any

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
