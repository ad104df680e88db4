"""The host's signal receivers, and a bulkhead for each, so that one that hangs does not stop the others."""

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
from weakref import WeakSet

from asgiref.sync import async_to_sync
from django.dispatch import Signal

from django_feexpay.models import OutboxMessage, Payment

Receiver = Callable[..., Any]

#: A call that has not returned after this time hangs; its message is delivered again later.
LIMIT_SECONDS = 10.0

#: Calls of one receiver at the same time, without those that hang.
AT_ONCE = 4

#: A receiver with this many hanging calls is called once in PAUSE_SECONDS; with HANGING_AT_MOST, not at all until one
#: returns or the process restarts. So a broken receiver holds a limited number of threads.
HANGING_BEFORE_PAUSE = 4
HANGING_AT_MOST = 8
PAUSE_SECONDS = 600.0

_LONGEST_NAME = 200

_called_last: WeakSet[Receiver] = WeakSet()


def call_last(receiver: Receiver) -> Receiver:
    """Call this receiver after those of the host: a slow mail server must not delay the delivery of what was bought."""
    _called_last.add(receiver)
    return receiver


def host_receives(signal: Signal) -> bool:
    """Whether any receiver is connected besides those of `call_last`."""
    return any(function not in _called_last for functions in receivers_of(signal).values() for function in functions)


def called_last_names(signal: Signal) -> list[str]:
    """The names of the connected receivers of `call_last`."""
    found = receivers_of(signal).items()
    return [name for name, functions in found if all(function in _called_last for function in functions)]


def receivers_of(signal: Signal) -> dict[str, list[Receiver]]:
    """The connected receivers by name, in Django's order, those of `call_last` at the end.

    Receivers with one name (a function connected twice, two objects of a class) are called together, with one receipt.
    """
    # A private method, but no other lists the live receivers; send_robust would call all of them together.
    plain, asynchronous = signal._live_receivers(Payment)  # noqa: SLF001 -- Django has no public way to list them
    found: dict[str, list[Receiver]] = {}
    for receiver in plain:
        found.setdefault(name_of(receiver), []).append(receiver)
    for receiver in asynchronous:
        found.setdefault(name_of(receiver), []).append(async_to_sync(receiver))
    return dict(sorted(found.items(), key=lambda named: any(function in _called_last for function in named[1])))


def name_of(receiver: Receiver) -> str:
    """`shop.receivers.give_coins`: the same in each process and after each restart."""
    while isinstance(receiver, functools.partial):
        receiver = receiver.func
    named = receiver if inspect.isroutine(receiver) else type(receiver)
    return f"{named.__module__}.{named.__qualname__}"[:_LONGEST_NAME]


class Start(StrEnum):
    """Whether a call may begin."""

    BEGUN = "begun"
    BUSY = "busy"  # the receiver has AT_ONCE calls under way
    HANGS = "hangs"  # its calls do not return


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to deliver one message until `lease`."""

    message: OutboxMessage
    lease: datetime


@dataclass(eq=False, slots=True)
class Invocation:
    """One call of a receiver. `returned`: the receivers that returned before it, in the same delivery."""

    receiver: str
    held: Claim
    returned: tuple[str, ...]
    thread: threading.Thread = field(default_factory=threading.current_thread)
    began: float = field(default_factory=time.monotonic)
    given_up: bool = False


class Bulkhead:
    """The receiver calls under way in one process, and their limits. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._invocations: set[Invocation] = set()

    def begin(self, invocation: Invocation) -> Start:
        """Register a call, if it may begin. Call `end` when it has returned."""
        with self._lock:
            receiver, message = invocation.receiver, invocation.held.message.pk
            # An earlier call with the same message has not returned: a second one would hang, too.
            if any(earlier.held.message.pk == message for earlier in self._invocations_of(receiver)):
                return Start.HANGS
            if self.free_calls(receiver) <= 0:
                return Start.HANGS if self.hangs(receiver) else Start.BUSY
            self._invocations.add(invocation)
            return Start.BEGUN

    def end(self, invocation: Invocation) -> bool:
        """Remove a call that returned; False if it was given up before."""
        with self._lock:
            self._invocations.discard(invocation)
            return not invocation.given_up

    def give_up(self, invocation: Invocation) -> bool:
        """Count a call as hanging from now on; False if it returned just now."""
        with self._lock:
            if invocation.given_up or invocation not in self._invocations:
                return False
            invocation.given_up = True
            return True

    def under_way(self, *, longer_than_seconds: float = 0) -> list[Invocation]:
        """The calls that began that long ago, without those given up."""
        before = time.monotonic() - longer_than_seconds
        with self._lock:
            return [
                invocation for invocation in self._invocations if not invocation.given_up and invocation.began <= before
            ]

    def hanging(self, receiver: str) -> int:
        """How many calls of a receiver hang."""
        with self._lock:
            return sum(invocation.given_up for invocation in self._invocations_of(receiver))

    def hangs(self, receiver: str) -> bool:
        """Whether so many calls of a receiver hang that it is called only once in PAUSE_SECONDS."""
        return self.hanging(receiver) >= HANGING_BEFORE_PAUSE

    def free_calls(self, receiver: str) -> int:
        """How many calls of a receiver may begin now."""
        with self._lock:
            invocations, hanging = self._invocations_of(receiver), self.hanging(receiver)
            if hanging >= HANGING_AT_MOST:
                return 0
            if hanging >= HANGING_BEFORE_PAUSE:
                newest = max(invocation.began for invocation in invocations)
                return 1 if time.monotonic() - newest >= PAUSE_SECONDS else 0
            return AT_ONCE - (len(invocations) - hanging)

    def _invocations_of(self, receiver: str) -> list[Invocation]:
        return [invocation for invocation in self._invocations if invocation.receiver == receiver]
