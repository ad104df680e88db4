"""Circuit breakers: one per provider and one for FeexPay as a whole. An open circuit refuses new payments.

The state is in the cache, shared by all processes; without a cache every circuit is closed. `record` counts each call
to FeexPay; apps.py connects it to the client.

Failures of a provider: its collect could not be sent, or ended without a usable answer, in a 5xx, or with FeexPay's
answer that the operator is in maintenance. Failures of FeexPay: the same except maintenance, and status, history or
balance calls that could not be sent or ended in a 5xx. Not failures: refusals (low balance, wrong msisdn, an unknown
API key), 429 (rate_budget.py), timeouts of a provider that answers only after its payer, and timeouts of status,
history and balance calls, because the caller chooses those.

A circuit opens after FAILURES_IN_A_ROW failures without a success between them, or after FAILURES_IN_WINDOW failures
among the last WINDOW calls, within ten minutes. From then on one probe per PAUSE_SECONDS is admitted; a probe that
succeeds closes the circuit. Nothing closes it before the first pause is over.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum

from django_feexpay import cache_state, conf
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import NotSentError, OutcomeUnknownError, RefusedError
from django_feexpay.gateway.refusals import IN_MAINTENANCE

logger = logging.getLogger("django_feexpay.payments")

#: The circuit of FeexPay as a whole; the others have their provider's code.
GATEWAY = "gateway"

FAILURES_IN_A_ROW, WINDOW, FAILURES_IN_WINDOW = 5, 20, 10
PAUSE_SECONDS = 30

_MEMORY_SECONDS = 600
#: An open circuit without a probe closes by itself after this.
_LONGEST_OPEN_SECONDS = 3600
#: Allowed difference between the clocks of two processes.
_SLACK_SECONDS = 1.0
_READS = frozenset({"status", "payout_status", "history", "balance"})


class Action(StrEnum):
    """What the caller does next: send to FeexPay now, or queue for the worker. Each has its own probe."""

    SEND = "send"
    QUEUE = "queue"


def wait_seconds(provider_code: str, action: Action) -> int:
    """0 to go on, as the probe if a circuit is open; otherwise how long to wait, at least one second.

    Changes: takes the probe. Safe to repeat: no, a second caller waits.
    """
    circuits = _open_states((GATEWAY, provider_code))
    if not circuits:
        return 0
    now = conf.now().timestamp()
    wait = max(_left(until, now) for _, until in circuits.values())
    if wait > 0:
        return max(1, math.ceil(wait))
    taken = all(_take_probe(circuit, state, action, now) for circuit, state in circuits.items())
    return 0 if taken else PAUSE_SECONDS


def seconds_until_probe(codes: Iterable[str]) -> dict[str, int]:
    """The seconds until the next probe, for each open circuit (GATEWAY included) whose pause is not over."""
    now = conf.now().timestamp() if (states := _open_states((GATEWAY, *codes))) else 0.0
    return {circuit: math.ceil(left) for circuit, (_, until) in states.items() if (left := _left(until, now)) > 0}


def open_circuits(codes: Iterable[str]) -> list[str]:
    """The open circuits of these providers and GATEWAY, those that wait for a probe included."""
    return sorted(_open_states((GATEWAY, *codes)))


def open_since(codes: Iterable[str]) -> dict[str, datetime]:
    """The open circuits as in `open_circuits`, each with the time at which it opened."""
    return {
        circuit: datetime.fromtimestamp(since, UTC) for circuit, (since, _) in _open_states((GATEWAY, *codes)).items()
    }


def record(seen: CallSeen) -> None:
    """Count one call to FeexPay. Never raises."""
    results = dict(_results(seen))
    if not results:
        return
    known = cache_state.read([key for circuit in results for key in (_key(circuit, "open"), _key(circuit, "seen"))])
    for circuit, succeeded in results.items():
        if state := known.get(_key(circuit, "open")):
            _record_while_open(circuit, state, seen, succeeded=succeeded)
        elif not succeeded:
            _count_failure(circuit)
        elif _key(circuit, "seen") in known:  # a success counts only after a failure in the last minutes
            cache_state.drop(_key(circuit, "in_a_row"))
            _write_result(circuit, failed=0)


# --- the result of a call ----------------------------------------------------------------------------


def _results(seen: CallSeen) -> Iterator[tuple[str, bool]]:
    """The circuits that count this call, each with True for a success and False for a failure."""
    succeeded = _succeeded(seen)
    if succeeded is None:
        return
    yield GATEWAY, succeeded
    usable = seen.error is None or isinstance(seen.error, RefusedError | NotSentError | OutcomeUnknownError)
    if seen.provider_code is not None and seen.operation not in _READS and usable:
        yield seen.provider_code, succeeded and not _is_maintenance(seen)


def _succeeded(seen: CallSeen) -> bool | None:
    """Whether FeexPay worked; a refusal is an answer too. None if the call does not show it."""
    error, status = seen.error, seen.http_status
    if error is None or _is_maintenance(seen):
        return True
    if not isinstance(error, NotSentError | OutcomeUnknownError):
        return None if status is None else True
    if status is not None:
        return None if 400 <= status < 500 else False
    # A timeout that the caller chose, or in which the payer did not act, says nothing about FeexPay.
    spec = CATALOGUE.get(seen.provider_code or "")
    may_time_out = seen.operation in _READS or (spec is not None and spec.synchronous)
    return None if may_time_out and isinstance(error, OutcomeUnknownError) else False


def _is_maintenance(seen: CallSeen) -> bool:
    """Whether FeexPay works, and answers that the operator does not."""
    error = seen.error
    return isinstance(error, OutcomeUnknownError) and error.code == IN_MAINTENANCE and seen.http_status == 503


# --- state -------------------------------------------------------------------------------------------


def _record_while_open(circuit: str, state: tuple[float, float], seen: CallSeen, *, succeeded: bool) -> None:
    """Close the circuit after a success, unless that call was sent before the first pause was over."""
    now = conf.now().timestamp()
    sent_at, pause_is_over_at = now - seen.seconds, state[0] + PAUSE_SECONDS - _SLACK_SECONDS
    opened_in_the_future = state[0] > now + _SLACK_SECONDS  # by a clock that was ahead
    if succeeded and (sent_at >= pause_is_over_at or opened_in_the_future):
        results = (_key(circuit, f"last:{slot}") for slot in range(WINDOW))
        cache_state.drop(_key(circuit, "open"), _key(circuit, "in_a_row"), _key(circuit, "seen"), *results)
        cache_state.invalidate(cache_state.PROVIDERS)
        logger.warning("the circuit breaker of %s is closed: it answers again", circuit)


def _count_failure(circuit: str) -> None:
    in_a_row = cache_state.count_up(_key(circuit, "in_a_row"), _MEMORY_SECONDS)
    _write_result(circuit, failed=1)
    last = cache_state.read(_key(circuit, f"last:{slot}") for slot in range(WINDOW))
    if in_a_row >= FAILURES_IN_A_ROW or (len(last) == WINDOW and sum(last.values()) >= FAILURES_IN_WINDOW):
        _open(circuit)


def _write_result(circuit: str, *, failed: int) -> None:
    slot = cache_state.count_up(_key(circuit, "seen"), _MEMORY_SECONDS) % WINDOW
    cache_state.put(_key(circuit, f"last:{slot}"), failed, _MEMORY_SECONDS)


def _open(circuit: str) -> None:
    now = conf.now().timestamp()
    if cache_state.put_first(_key(circuit, "open"), (now, now + PAUSE_SECONDS), _LONGEST_OPEN_SECONDS, otherwise=False):
        cache_state.invalidate(cache_state.PROVIDERS)
        logger.error("the circuit breaker of %s is open: only one probe every %d s is sent", circuit, PAUSE_SECONDS)


def _take_probe(circuit: str, state: tuple[float, float], action: Action, now: float) -> bool:
    """Whether this caller gets the probe. The probe of a queueing caller does not restart the pause of sending."""
    since, until = state
    if not cache_state.take(f"probe:{circuit}:{action}:{until}", PAUSE_SECONDS, otherwise=True):
        return False
    if action is Action.SEND:
        cache_state.put(_key(circuit, "open"), (since, now + PAUSE_SECONDS), _LONGEST_OPEN_SECONDS)
        cache_state.invalidate(cache_state.PROVIDERS)
    return True


def _open_states(circuits: Iterable[str]) -> dict[str, tuple[float, float]]:
    """When each open circuit opened, and when its pause ends."""
    circuit_of = {_key(circuit, "open"): circuit for circuit in circuits}
    return {circuit_of[key]: state for key, state in cache_state.read(circuit_of).items()}


def _left(until: float, now: float) -> float:
    """The seconds left of a pause; 0 if more than a whole pause is left, because a clock was ahead."""
    return until - now if until - now <= PAUSE_SECONDS + _SLACK_SECONDS else 0.0


def _key(circuit: str, name: str) -> str:
    return f"breaker:{circuit}:{name}"
