"""Circuit breakers: one a provider, one for the gateway as a whole. Open, no payer is asked for what cannot work.

State stands in the cache, for all processes; without it every breaker is closed. It learns from each exchange with
FeexPay by the observer of the client (`see`, wired in apps.py).

What counts against a provider: its collect could not be sent, or ended without a usable answer, in a 5xx, or in
FeexPay's word that the operator is being serviced. Against the gateway: the same without that word, which is an
answer, and questions that could not be sent or ended in a 5xx. What does not count: refusals (low balance, wrong
msisdn, a key that FeexPay does not know), 429 (budget.py), the silence of a provider that answers only when its payer
has, and the silence after a question, whose patience is the asker's.

Open after IN_A_ROW of them without one that went well, or HALF of the last WINDOW, within ten minutes. Then one probe
each PAUSE_SECONDS; one that goes well closes it. Nothing closes it before the first pause is over.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from django_feexpay import cache_state, conf
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import NotSentError, OutcomeUnknownError, RefusedError
from django_feexpay.gateway.refusals import IN_MAINTENANCE

logger = logging.getLogger("django_feexpay.payments")

#: The circuit of FeexPay as a whole; the others bear their provider's code.
GATEWAY = "gateway"

IN_A_ROW, WINDOW, HALF = 5, 20, 10
PAUSE_SECONDS = 30

_MEMORY_SECONDS = 600
#: Where nobody comes to probe, trouble is forgotten after this.
_LONGEST_SECONDS = 3600
#: Two clocks measure when an exchange began.
_SLACK_SECONDS = 1.0
_QUESTIONS = frozenset({"status", "history", "balance"})


class Door(StrEnum):
    """Who wants through: what is sent now, or what is written down to be sent by the worker. One probe each."""

    SEND = "send"
    QUEUE = "queue"


def wait_seconds(provider_code: str, door: Door, *, before_probe: Callable[[], None] = lambda: None) -> int:
    """0: go on, as the probe where a circuit is open. Else how long to stay away, at least one second.

    before_probe: raises for who would not get as far as FeexPay: the probe is for somebody who does.
    Changes: takes the probe. Safe to repeat: no, a second caller waits.
    """
    open_circuits = _open_circuits((GATEWAY, provider_code))
    if not open_circuits:
        return 0
    now = conf.now().timestamp()
    wait = max(_left(until, now) for _, until in open_circuits.values())
    if wait > 0:
        return max(1, math.ceil(wait))
    before_probe()
    taken = all(_take_probe(circuit, state, door, now) for circuit, state in open_circuits.items())
    return 0 if taken else PAUSE_SECONDS


def closed_to_payers(codes: Iterable[str]) -> dict[str, int]:
    """By circuit (GATEWAY included), the seconds until the next probe, where nobody may pass before."""
    now = conf.now().timestamp() if (states := _open_circuits((GATEWAY, *codes))) else 0.0
    return {circuit: math.ceil(left) for circuit, (_, until) in states.items() if (left := _left(until, now)) > 0}


def in_trouble(codes: Iterable[str]) -> list[str]:
    """The open circuits, also those that wait for a probe."""
    return sorted(_open_circuits((GATEWAY, *codes)))


def see(seen: CallSeen) -> None:
    """Learn from one exchange with FeexPay. Never raises."""
    lessons = dict(_lessons(seen))
    known = (
        cache_state.read([name for circuit in lessons for name in (_open(circuit), _seen(circuit))]) if lessons else {}
    )
    for circuit, well in lessons.items():
        if state := known.get(_open(circuit)):
            _learn_while_open(circuit, state, seen, well=well)
        elif not well:
            _count_trouble(circuit)
        elif _seen(circuit) in known:  # without trouble in the last minutes there is nothing to hold against it
            cache_state.drop(_in_a_row(circuit))
            _write(circuit, 0)


# --- what an exchange teaches ------------------------------------------------------------------------


def _lessons(seen: CallSeen) -> Iterator[tuple[str, bool]]:
    """The circuits it says something about, and whether that is good."""
    own = None if seen.operation in _QUESTIONS else seen.provider_code
    well = _went_well(seen)
    if well is not None:
        yield GATEWAY, well
    if own is not None and _says_something_of_provider(seen):
        yield own, well is True and not _is_serviced(seen)


def _went_well(seen: CallSeen) -> bool | None:
    """None: it says nothing. A refusal is an answer."""
    error, status = seen.error, seen.http_status
    if error is None or _is_serviced(seen):
        return True
    if not isinstance(error, NotSentError | OutcomeUnknownError):
        return None if status is None else True
    if status is None:
        return None if _is_mere_silence(seen) else False
    return None if 400 <= status < 500 else False


def _says_something_of_provider(seen: CallSeen) -> bool:
    told = seen.error is None or isinstance(seen.error, RefusedError | NotSentError | OutcomeUnknownError)
    return told and _went_well(seen) is not None


def _is_serviced(seen: CallSeen) -> bool:
    """FeexPay works, and says of the operator that it does not."""
    error = seen.error
    return isinstance(error, OutcomeUnknownError) and error.code == IN_MAINTENANCE and seen.http_status == 503


def _is_mere_silence(seen: CallSeen) -> bool:
    """An answer that was waited for in vain, where that is nobody's failure."""
    if not isinstance(seen.error, OutcomeUnknownError):
        return False
    spec = CATALOGUE.get(seen.provider_code or "")
    return seen.operation in _QUESTIONS or (spec is not None and spec.synchronous)


# --- state -------------------------------------------------------------------------------------------


def _learn_while_open(circuit: str, state: tuple[float, float], seen: CallSeen, *, well: bool) -> None:
    """Stragglers that left before the first probe say nothing new."""
    now = conf.now().timestamp()
    left_at, pause_is_over_at = now - seen.seconds, state[0] + PAUSE_SECONDS - _SLACK_SECONDS
    opened_in_the_future = state[0] > now + _SLACK_SECONDS  # by a clock that was ahead
    if well and (left_at >= pause_is_over_at or opened_in_the_future):
        places = (_place(circuit, place) for place in range(WINDOW))
        cache_state.drop(_open(circuit), _in_a_row(circuit), _seen(circuit), *places)
        cache_state.renew(cache_state.PROVIDERS)
        logger.warning("%s works again", circuit)


def _count_trouble(circuit: str) -> None:
    in_a_row = cache_state.count_up(_in_a_row(circuit), _MEMORY_SECONDS)
    _write(circuit, 1)
    if in_a_row >= IN_A_ROW or _is_half_bad(circuit):
        _trip(circuit)


def _write(circuit: str, trouble: int) -> None:
    place = cache_state.count_up(_seen(circuit), _MEMORY_SECONDS) % WINDOW
    cache_state.put(_place(circuit, place), trouble, _MEMORY_SECONDS)


def _is_half_bad(circuit: str) -> bool:
    last = cache_state.read(_place(circuit, place) for place in range(WINDOW))
    return len(last) == WINDOW and sum(last.values()) >= HALF


def _trip(circuit: str) -> None:
    now = conf.now().timestamp()
    if cache_state.put_first(_open(circuit), (now, now + PAUSE_SECONDS), _LONGEST_SECONDS, otherwise=False):
        cache_state.renew(cache_state.PROVIDERS)
        logger.error("%s is in trouble: no payer is sent there but a probe each %d s", circuit, PAUSE_SECONDS)


def _take_probe(circuit: str, state: tuple[float, float], door: Door, now: float) -> bool:
    """One caller gets it. A probe that is only written down does not end the pause of those who send."""
    since, until = state
    if not cache_state.take(f"probe:{circuit}:{door}:{until}", PAUSE_SECONDS, otherwise=True):
        return False
    if door is Door.SEND:
        cache_state.put(_open(circuit), (since, now + PAUSE_SECONDS), _LONGEST_SECONDS)
        cache_state.renew(cache_state.PROVIDERS)
    return True


def _open_circuits(circuits: Iterable[str]) -> dict[str, tuple[float, float]]:
    """By circuit: when it opened, and until when nobody may pass."""
    names = {_open(circuit): circuit for circuit in circuits}
    return {names[name]: state for name, state in cache_state.read(names).items()}


def _left(until: float, now: float) -> float:
    """The seconds of a pause that are left; 0 if they are more than a pause has, by a clock that was ahead."""
    return until - now if until - now <= PAUSE_SECONDS + _SLACK_SECONDS else 0.0


def _open(circuit: str) -> str:
    return f"breaker:{circuit}:open"


def _seen(circuit: str) -> str:
    return f"breaker:{circuit}:seen"


def _in_a_row(circuit: str) -> str:
    return f"breaker:{circuit}:in_a_row"


def _place(circuit: str, place: int) -> str:
    return f"breaker:{circuit}:last:{place}"
