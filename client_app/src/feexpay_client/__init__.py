"""Pay with FeexPay from any Kivy app, or from any Python program.

    from feexpay_client import PaymentSheet, Purchase      # a widget over your own screen
    from feexpay_client import PaymentFlow                 # the same payment, without a window
    from feexpay_client import FeexPayClient               # the HTTP API alone

It uses only the HTTP API and imports nothing of django_feexpay. Names are imported when they are used: `PaymentSheet`
needs Kivy, the others do not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feexpay_client.core.api import FeexPayClient
    from feexpay_client.core.models import Payment
    from feexpay_client.core.purchase import Purchase
    from feexpay_client.core.theme import Theme
    from feexpay_client.flow import PaymentFlow
    from feexpay_client.sheet import PaymentSheet, SheetResult

__version__ = "0.1.0"

_MODULES = {
    "FeexPayClient": "feexpay_client.core.api",
    "Payment": "feexpay_client.core.models",
    "PaymentFlow": "feexpay_client.flow",
    "PaymentSheet": "feexpay_client.sheet",
    "Purchase": "feexpay_client.core.purchase",
    "SheetResult": "feexpay_client.sheet",
    "Theme": "feexpay_client.core.theme",
}
__all__ = ["FeexPayClient", "Payment", "PaymentFlow", "PaymentSheet", "Purchase", "SheetResult", "Theme"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
