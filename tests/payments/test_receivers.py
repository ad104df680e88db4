"""A bulkhead around each receiver: so many of its calls at once, and fewer while some do not return."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from django.dispatch import Signal

from django_feexpay.models import OutboxMessage, Payment
from django_feexpay.payments import receivers
from django_feexpay.payments.receivers import Call, Calls, Claim, Start, name_of, receivers_of

HANGS = "shop.receivers.hangs"


class StoppedTime:
    """The monotonic clock, moved by the test."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> StoppedTime:
    stopped = StoppedTime()
    monkeypatch.setattr(receivers, "time", stopped)
    return stopped


@pytest.fixture
def messages() -> Iterator[int]:
    return count(1)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def call_of(time: StoppedTime, message: int, receiver: str = HANGS) -> Call:
    return Call(receiver, Claim(OutboxMessage(pk=message), datetime.now(UTC)), (), began=time.at)


def hang(calls: Calls, time: StoppedTime, messages: Iterator[int], number: int) -> list[Call]:
    """So many calls that were given up."""
    hanging = [call_of(time, next(messages)) for _ in range(number)]
    for call in hanging:
        assert calls.begin(call) is Start.BEGUN
        assert calls.give_up(call)
    return hanging


def test_four_calls_of_one_receiver_may_be_under_way(calls: Calls, time: StoppedTime, messages: Iterator[int]) -> None:
    under_way = [call_of(time, next(messages)) for _ in range(4)]

    assert [calls.begin(call) for call in under_way] == [Start.BEGUN] * 4
    assert calls.begin(call_of(time, next(messages))) is Start.BUSY
    assert calls.begin(call_of(time, next(messages), "shop.receivers.other")) is Start.BEGUN
    calls.end(under_way[0])
    assert calls.begin(call_of(time, next(messages))) is Start.BEGUN


def test_call_that_hangs_takes_no_place_of_those_that_return(
    calls: Calls, time: StoppedTime, messages: Iterator[int]
) -> None:
    hang(calls, time, messages, 3)

    assert calls.room(HANGS) == 4


def test_message_is_not_given_again_to_the_receiver_that_hangs_with_it(
    calls: Calls, time: StoppedTime, messages: Iterator[int]
) -> None:
    [hanging] = hang(calls, time, messages, 1)
    message = hanging.held.message.pk

    assert calls.begin(call_of(time, message)) is Start.HANGS
    assert calls.begin(call_of(time, message, "shop.receivers.other")) is Start.BEGUN
    calls.end(hanging)
    assert calls.begin(call_of(time, message)) is Start.BEGUN


def test_receiver_with_four_calls_that_hang_is_tried_once_in_ten_minutes(
    calls: Calls, time: StoppedTime, messages: Iterator[int]
) -> None:
    hang(calls, time, messages, 4)
    assert calls.begin(call_of(time, next(messages))) is Start.HANGS

    time.at += 600
    tried = call_of(time, next(messages))
    assert calls.begin(tried) is Start.BEGUN
    assert calls.begin(call_of(time, next(messages))) is Start.HANGS

    calls.end(tried)
    time.at += 599
    assert calls.room(HANGS) == 1, "the trial returned, so nothing of it counts"


def test_receiver_never_holds_more_than_eight_threads(calls: Calls, time: StoppedTime, messages: Iterator[int]) -> None:
    hanging = hang(calls, time, messages, 4)
    for _ in range(4):
        time.at += 600
        hanging += hang(calls, time, messages, 1)

    time.at += 1_000_000
    assert calls.begin(call_of(time, next(messages))) is Start.HANGS

    for call in hanging[:5]:
        assert calls.end(call) is False
    assert calls.room(HANGS) == 4, "it is called as before once its calls return"


def test_call_is_given_up_or_returns_but_never_both(calls: Calls, time: StoppedTime, messages: Iterator[int]) -> None:
    returned, given_up = call_of(time, next(messages)), call_of(time, next(messages))
    for call in (returned, given_up):
        calls.begin(call)

    assert calls.end(returned) is True
    assert calls.give_up(returned) is False
    assert calls.give_up(given_up) is True
    assert calls.give_up(given_up) is False
    assert calls.end(given_up) is False


def test_calls_under_way_are_told_by_their_age(calls: Calls, time: StoppedTime, messages: Iterator[int]) -> None:
    old = call_of(time, next(messages))
    calls.begin(old)
    time.at += 10
    young = call_of(time, next(messages))
    calls.begin(young)
    hang(calls, time, messages, 1)

    assert calls.under_way(longer_than_seconds=10) == [old]
    assert set(calls.under_way()) == {old, young}


class Callable:
    def method(self, **kwargs: Any) -> None: ...

    def __call__(self, **kwargs: Any) -> None: ...


def plain(**kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("receiver", "name"),
    [
        (plain, "plain"),
        (Callable().method, "Callable.method"),
        (Callable(), "Callable"),
        (functools.partial(functools.partial(plain), payment=1), "plain"),
    ],
    ids=["function", "method", "object", "partial"],
)
def test_name_is_the_module_and_the_qualified_name(receiver: receivers.Receiver, name: str) -> None:
    assert name_of(receiver) == f"{__name__}.{name}"


def test_only_receivers_of_payments_that_are_still_alive_are_called() -> None:
    signal, gone, kept = Signal(), Callable(), Callable()
    signal.connect(gone.method)
    signal.connect(kept.__call__)
    signal.connect(plain, sender=OutboxMessage)
    signal.connect(plain, sender=Payment, dispatch_uid="ours")
    del gone

    assert list(receivers_of(signal)) == [f"{__name__}.Callable.__call__", f"{__name__}.plain"]
