"""Fault injection: named points between two commits where a test may kill the process or raise.

Nothing happens in production: `hit` reads one module variable, which only `arm` fills, and only tests call `arm`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Every boundary between two commits; a test runs each of them.
NAMES = (
    "started",  # payment and attempt committed, nothing sent
    "before_send",  # about to call the gateway
    "after_send",  # the gateway answered, nothing written
    "sent",  # the answer is written
    "asked",  # the gateway reported, nothing written
    "settled",  # the report is written, the outbox not delivered
    "signalled",  # receivers ran, the outbox row not yet closed
)

_armed: dict[str, Callable[[], None]] = {}


def hit(name: str) -> None:
    """Run the action that a test armed for this point, if any."""
    if _armed:
        action = _armed.get(name)
        if action is not None:
            action()


@contextmanager
def arm(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Run `action` whenever `name` is reached inside this block. Raises KeyError for an unknown name."""
    if name not in NAMES:
        raise KeyError(name)
    _armed[name] = action
    try:
        yield
    finally:
        del _armed[name]
