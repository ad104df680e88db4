"""Named places where a test may kill or break the process: every boundary between two commits.

Inert in production: `hit` looks at one module variable that only `arm` sets, and `arm` is called by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Every boundary there is; a test walks this list so that none is forgotten.
NAMES = (
    "started",  # payment and attempt committed, nothing sent
    "before_send",  # about to call the gateway
    "after_send",  # the gateway answered, nothing written
    "sent",  # the answer is written
    "asked",  # the gateway's report is here, nothing written
    "settled",  # the report is written, the outbox not delivered
    "signalled",  # receivers ran, the outbox row not yet closed
)

_armed: dict[str, Callable[[], None]] = {}


def hit(name: str) -> None:
    """Do what a test armed for this place; otherwise nothing."""
    if _armed:
        action = _armed.get(name)
        if action is not None:
            action()


@contextmanager
def arm(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Run `action` whenever `name` is reached. Raises KeyError for a name that does not exist."""
    if name not in NAMES:
        raise KeyError(name)
    _armed[name] = action
    try:
        yield
    finally:
        del _armed[name]
