"""The clock, guard and model gateway of tests/payments."""

from __future__ import annotations

from tests.payments.conftest import (
    begin,
    free_top_up,
    guard,
    order,
    player,
    signals,
)

__all__ = [
    "begin",
    "free_top_up",
    "guard",
    "order",
    "player",
    "signals",
]
