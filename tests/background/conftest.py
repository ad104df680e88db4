"""The worker is tried with the same clock, guard and model gateway as the money rules."""

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
