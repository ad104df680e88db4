"""The bulkhead limits the concurrent calls of a receiver, and lowers the limit while calls hang."""

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
from django_feexpay.payments.receivers import Bulkhead, Claim, Invocation, Start, name_of, receivers_of

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
def bulkhead() -> Bulkhead:
    return Bulkhead()


def invocation_of(time: StoppedTime, message: int, receiver: str = HANGS) -> Invocation:
    return Invocation(receiver, Claim(OutboxMessage(pk=message), datetime.now(UTC)), (), began=time.at)


def hang(bulkhead: Bulkhead, time: StoppedTime, messages: Iterator[int], number: int) -> list[Invocation]:
    """Calls that were given up."""
    hanging = [invocation_of(time, next(messages)) for _ in range(number)]
    for invocation in hanging:
        assert bulkhead.begin(invocation) is Start.BEGUN
        assert bulkhead.give_up(invocation)
    return hanging


def test_four_calls_of_one_receiver_may_be_under_way(
    bulkhead: Bulkhead, time: StoppedTime, messages: Iterator[int]
) -> None:
    under_way = [invocation_of(time, next(messages)) for _ in range(4)]

    assert [bulkhead.begin(invocation) for invocation in under_way] == [Start.BEGUN] * 4
    assert bulkhead.begin(invocation_of(time, next(messages))) is Start.BUSY
    assert bulkhead.begin(invocation_of(time, next(messages), "shop.receivers.other")) is Start.BEGUN
    bulkhead.end(under_way[0])
    assert bulkhead.begin(invocation_of(time, next(messages))) is Start.BEGUN


def test_hanging_call_does_not_count_against_the_limit_of_calls(
    bulkhead: Bulkhead, time: StoppedTime, messages: Iterator[int]
) -> None:
    hang(bulkhead, time, messages, 3)

    assert bulkhead.free_calls(HANGS) == 4


def test_receiver_that_hangs_on_a_message_is_not_called_with_it_again(
    bulkhead: Bulkhead, time: StoppedTime, messages: Iterator[int]
) -> None:
    [hanging] = hang(bulkhead, time, messages, 1)
    message = hanging.held.message.pk

    assert bulkhead.begin(invocation_of(time, message)) is Start.HANGS
    assert bulkhead.begin(invocation_of(time, message, "shop.receivers.other")) is Start.BEGUN
    bulkhead.end(hanging)
    assert bulkhead.begin(invocation_of(time, message)) is Start.BEGUN


def test_receiver_with_four_hanging_calls_is_called_once_in_ten_minutes(
    bulkhead: Bulkhead, time: StoppedTime, messages: Iterator[int]
) -> None:
    hang(bulkhead, time, messages, 4)
    assert bulkhead.begin(invocation_of(time, next(messages))) is Start.HANGS

    time.at += 600
    tried = invocation_of(time, next(messages))
    assert bulkhead.begin(tried) is Start.BEGUN
    assert bulkhead.begin(invocation_of(time, next(messages))) is Start.HANGS

    bulkhead.end(tried)
    time.at += 599
    assert bulkhead.free_calls(HANGS) == 1, "the trial returned, so nothing of it counts"


def test_receiver_never_holds_more_than_eight_threads(
    bulkhead: Bulkhead, time: StoppedTime, messages: Iterator[int]
) -> None:
    hanging = hang(bulkhead, time, messages, 4)
    for _ in range(4):
        time.at += 600
        hanging += hang(bulkhead, time, messages, 1)

    time.at += 1_000_000
    assert bulkhead.begin(invocation_of(time, next(messages))) is Start.HANGS

    for invocation in hanging[:5]:
        assert bulkhead.end(invocation) is False
    assert bulkhead.free_calls(HANGS) == 4, "it is called as before once its calls return"


def test_call_is_given_up_or_returns_but_never_both(
    bulkhead: Bulkhead, time: StoppedTime, messages: Iterator[int]
) -> None:
    returned, given_up = invocation_of(time, next(messages)), invocation_of(time, next(messages))
    for invocation in (returned, given_up):
        bulkhead.begin(invocation)

    assert bulkhead.end(returned) is True
    assert bulkhead.give_up(returned) is False
    assert bulkhead.give_up(given_up) is True
    assert bulkhead.give_up(given_up) is False
    assert bulkhead.end(given_up) is False


def test_calls_under_way_are_selected_by_age(bulkhead: Bulkhead, time: StoppedTime, messages: Iterator[int]) -> None:
    old = invocation_of(time, next(messages))
    bulkhead.begin(old)
    time.at += 10
    young = invocation_of(time, next(messages))
    bulkhead.begin(young)
    hang(bulkhead, time, messages, 1)

    assert bulkhead.under_way(longer_than_seconds=10) == [old]
    assert set(bulkhead.under_way()) == {old, young}


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


def test_only_receivers_that_still_exist_and_listen_to_payments_are_called() -> None:
    signal, gone, kept = Signal(), Callable(), Callable()
    signal.connect(gone.method)
    signal.connect(kept.__call__)
    signal.connect(plain, sender=OutboxMessage)
    signal.connect(plain, sender=Payment, dispatch_uid="ours")
    del gone

    assert list(receivers_of(signal)) == [f"{__name__}.Callable.__call__", f"{__name__}.plain"]
