from __future__ import annotations

from tests.payments.conftest import guarded_calls_and_any_price

#: Of every test in this folder.
__all__ = ["guarded_calls_and_any_price"]
