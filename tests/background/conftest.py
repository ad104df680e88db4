"""The worker is tried with the same clock, guard and model gateway as the money rules."""

from __future__ import annotations

from tests.payments.conftest import (
    begin,
    empty_cache,
    free_top_up,
    guard,
    order,
    player,
    signals,
)

__all__ = [
    "begin",
    "empty_cache",
    "free_top_up",
    "guard",
    "order",
    "player",
    "signals",
]
