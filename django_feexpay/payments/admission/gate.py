"""Admission control for calls to FeexPay: circuit breaker, rate budget and bulkhead behind one function each.

A refused request gets `gateway_unavailable`, the words of `trouble` and a time to try again, before anything is
written. Callers check for duplicates first: the answer to a duplicate does not depend on FeexPay's health.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _

from django_feexpay.payments.admission import circuit_breaker, rate_budget, trouble
from django_feexpay.payments.admission.circuit_breaker import Action
from django_feexpay.payments.errors import NotAllowedError

_RETRY_AFTER_SECONDS = 3


@contextmanager
def admit(provider_code: str, *, queued: bool) -> Iterator[None]:
    """Admit a payer's request to start, retry or complete an attempt in this block.

    queued: the request only writes the attempt; the worker sends it.
    Changes: takes the probe of an open circuit and, unless queued, one call of the budget and a bulkhead slot until
    the block ends. Raises: NotAllowedError `gateway_unavailable` with `retry_after_seconds`. Safe to repeat: no.
    """
    if queued:
        _refuse_for(provider_code, circuit_breaker.wait_seconds(provider_code, Action.QUEUE))
        yield
        return
    with rate_budget.slot() as free:
        _refuse_for(provider_code, wait_to_send(provider_code) if free else _RETRY_AFTER_SECONDS)
        yield


def is_restricted(provider_code: str, *, queued: bool) -> bool:
    """Whether `admit` would refuse now, or admit only as the probe of an open circuit. Changes: nothing."""
    if circuit_breaker.open_circuits((provider_code,)):
        return True
    return not queued and (rate_budget.pause_seconds() > 0 or not rate_budget.has_free_slot())


def wait_to_send(provider_code: str) -> int:
    """Seconds to wait before asking again; 0: send now.

    Changes: takes a probe and one call of the budget. Safe to repeat: no.
    """
    return circuit_breaker.wait_seconds(provider_code, Action.SEND) or rate_budget.wait_seconds(rate_budget.SENDING)


def is_gateway_circuit_open() -> bool:
    """Whether FeexPay's own circuit is open. Then a status read answers from our rows."""
    return bool(circuit_breaker.open_circuits(()))


def _refuse_for(provider_code: str, seconds: int) -> None:
    if seconds:
        message = f"{trouble.refusal(provider_code)} {_('Nothing was taken.')}"
        raise NotAllowedError("gateway_unavailable", message, retry_after_seconds=seconds)
