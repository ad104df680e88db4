"""Whether somebody may turn to FeexPay now: the breaker, the budget and the places for doors, in one question each.

Doors are turned away with `gateway_unavailable` and a time to come back, before anything is written. But who would not
be let on anyway, because this is being paid or was answered already, hears that: it says what to do, and trouble does
not. What stands in a row already waits there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _

from django_feexpay.payments.admission import circuit_breaker, rate_budget
from django_feexpay.payments.admission.circuit_breaker import Door
from django_feexpay.payments.errors import NotAllowedError

_COME_BACK_SECONDS = 3


@contextmanager
def admit(provider_code: str, *, queued: bool, first: Callable[[], None]) -> Iterator[None]:
    """Let a door start or retry an attempt in this block. `queued`: it is only written down, and the worker sends it.
    `first`: called before somebody is turned away, or let through as a probe, to raise what they are to hear instead.

    Raises: NotAllowedError `gateway_unavailable` with `retry_after_seconds`.
    """
    if queued:
        _refuse_for(circuit_breaker.wait_seconds(provider_code, Door.QUEUE, before_probe=first), first)
        yield
        return
    with rate_budget.place() as free:
        _refuse_for(wait_to_send(provider_code, before_probe=first) if free else _COME_BACK_SECONDS, first)
        yield


def wait_to_send(provider_code: str, *, before_probe: Callable[[], None] = lambda: None) -> int:
    """Seconds to wait before asking again; 0: send now. before_probe: see `circuit_breaker.wait_seconds`."""
    return circuit_breaker.wait_seconds(
        provider_code, Door.SEND, before_probe=before_probe
    ) or rate_budget.wait_seconds(rate_budget.SENDING)


def is_shut() -> bool:
    """Whether FeexPay as a whole is in trouble: then no reader waits for it."""
    return bool(circuit_breaker.in_trouble(()))


def _refuse_for(seconds: int, first: Callable[[], None]) -> None:
    if seconds:
        first()
        message = _("Payments cannot be started at the moment: FeexPay is in trouble. Nothing was taken.")
        raise NotAllowedError("gateway_unavailable", message, retry_after_seconds=seconds)
