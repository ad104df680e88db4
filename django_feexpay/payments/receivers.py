"""The host's signal receivers: their names, and a bulkhead around each, so that one that hangs stops no other."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from asgiref.sync import async_to_sync
from django.dispatch import Signal

from django_feexpay.models import OutboxMessage, Payment

Receiver = Callable[..., Any]

#: A call that has not returned after this time hangs: its message is left, and told again later.
LIMIT_SECONDS = 10.0

#: Calls of one receiver at the same time, those that hang not counted.
AT_ONCE = 4

#: With this many of its calls hanging, a receiver is called only once in PAUSE_SECONDS; with HANGING_AT_MOST, not at
#: all until one returns or the process is restarted. So a broken receiver holds a bounded number of threads.
HANGING_BEFORE_PAUSE = 4
HANGING_AT_MOST = 8
PAUSE_SECONDS = 600.0

_LONGEST_NAME = 200


def receivers_of(signal: Signal) -> dict[str, list[Receiver]]:
    """The connected receivers by name, in the order in which Django would call them.

    Two of one name (a function that is connected twice, two objects of one class) are called and remembered together.
    """
    # Only Django's own method knows which receivers are still alive; send_robust would call all of them at once.
    plain, asynchronous = signal._live_receivers(Payment)  # noqa: SLF001
    found: dict[str, list[Receiver]] = {}
    for receiver in plain:
        found.setdefault(name_of(receiver), []).append(receiver)
    for receiver in asynchronous:
        found.setdefault(name_of(receiver), []).append(async_to_sync(receiver))
    return found


def name_of(receiver: Receiver) -> str:
    """`shop.receivers.give_coins`: the same in each process and after each restart."""
    while isinstance(receiver, functools.partial):
        receiver = receiver.func
    named = receiver if inspect.isroutine(receiver) else type(receiver)
    return f"{named.__module__}.{named.__qualname__}"[:_LONGEST_NAME]


class Start(StrEnum):
    """Whether a call may be made now."""

    BEGUN = "begun"
    BUSY = "busy"  # as many of the receiver's calls as may be are under way
    HANGS = "hangs"  # its calls do not return


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to deliver one message until `lease`."""

    message: OutboxMessage
    lease: datetime


@dataclass(eq=False, slots=True)
class Invocation:
    """One call of a receiver that has not returned. `took`: who took the message before, in the same delivery."""

    receiver: str
    held: Claim
    took: tuple[str, ...]
    thread: threading.Thread = field(default_factory=threading.current_thread)
    began: float = field(default_factory=time.monotonic)
    given_up: bool = False


class Bulkhead:
    """The calls of receivers under way in one process, and how many more of each may begin. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._invocations: set[Invocation] = set()

    def begin(self, invocation: Invocation) -> Start:
        """Note a call that is to be made, if it may be. End it when it has returned."""
        with self._lock:
            if self._hangs_with(invocation):
                return Start.HANGS
            if self._room(invocation.receiver) <= 0:
                return Start.HANGS if self._hangs(invocation.receiver) else Start.BUSY
            self._invocations.add(invocation)
            return Start.BEGUN

    def end(self, invocation: Invocation) -> bool:
        """True if its message is still the caller's; False if the call was given up meanwhile."""
        with self._lock:
            self._invocations.discard(invocation)
            return not invocation.given_up

    def give_up(self, invocation: Invocation) -> bool:
        """Take its message from a call; False if it returned just now. From now on it counts as hanging."""
        with self._lock:
            if invocation.given_up or invocation not in self._invocations:
                return False
            invocation.given_up = True
            return True

    def under_way(self, *, longer_than_seconds: float = 0) -> list[Invocation]:
        """The calls that began that long ago and were not given up."""
        before = time.monotonic() - longer_than_seconds
        with self._lock:
            return [
                invocation for invocation in self._invocations if not invocation.given_up and invocation.began <= before
            ]

    def hanging(self, receiver: str) -> int:
        """How many calls of a receiver were given up and have not returned."""
        with self._lock:
            return self._hanging(receiver)

    def hangs(self, receiver: str) -> bool:
        """Whether so many calls of a receiver do not return that it is hardly called any more."""
        with self._lock:
            return self._hangs(receiver)

    def room(self, receiver: str) -> int:
        """How many more calls of a receiver may begin now."""
        with self._lock:
            return self._room(receiver)

    def _room(self, receiver: str) -> int:
        invocations, hanging = self._invocations_of(receiver), self._hanging(receiver)
        if hanging >= HANGING_AT_MOST:
            return 0
        if self._hangs(receiver):
            rested = time.monotonic() - max(invocation.began for invocation in invocations) >= PAUSE_SECONDS
            return 1 if rested else 0
        return AT_ONCE - (len(invocations) - hanging)

    def _hangs(self, receiver: str) -> bool:
        return self._hanging(receiver) >= HANGING_BEFORE_PAUSE

    def _hanging(self, receiver: str) -> int:
        return sum(invocation.given_up for invocation in self._invocations_of(receiver))

    def _invocations_of(self, receiver: str) -> list[Invocation]:
        return [invocation for invocation in self._invocations if invocation.receiver == receiver]

    def _hangs_with(self, invocation: Invocation) -> bool:
        """Whether an earlier call with the same message has not returned: a second one would hang, too."""
        message = invocation.held.message.pk
        return any(other.held.message.pk == message for other in self._invocations_of(invocation.receiver))
