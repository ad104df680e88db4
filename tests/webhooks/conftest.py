from __future__ import annotations

from tests.api.conftest import caller, guarded_calls_and_any_price

#: Fixtures of this folder.
__all__ = ["caller", "guarded_calls_and_any_price"]
