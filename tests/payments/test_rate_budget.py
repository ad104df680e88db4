"""Rate budget and bulkhead: calls per second, calls at once, and FeexPay's 429."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from django_feexpay import cache_state
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.models import Payment
from django_feexpay.payments.admission import circuit_breaker, gate, rate_budget
from django_feexpay.payments.errors import NotAllowedError
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, reply
from tests.payments.fakes import Clock, only_attempt, sweep
from tests.payments.threads import at_once


def spend(count: int, share: float) -> list[int]:
    return [rate_budget.wait_seconds(share) for _ in range(count)]


def test_reading_and_polling_get_a_share_and_sending_all(clock: Clock, configure: Configure) -> None:
    configure(GATEWAY_PER_SECOND=10)

    assert spend(6, rate_budget.READING) == [0] * 5 + [1]
    assert spend(3, rate_budget.POLLING) == [0] * 2 + [1]
    assert spend(4, rate_budget.SENDING) == [0] * 3 + [1]


def test_each_second_has_its_own_budget(clock: Clock, configure: Configure) -> None:
    configure(GATEWAY_PER_SECOND=2)
    assert spend(3, rate_budget.SENDING) == [0, 0, 1]

    clock.advance(1)

    assert spend(2, rate_budget.SENDING) == [0, 0]


def test_no_limit_admits_everything(clock: Clock) -> None:
    assert set(spend(500, rate_budget.POLLING)) == {0}


def test_threads_at_once_never_exceed_the_budget(clock: Clock, configure: Configure) -> None:
    configure(GATEWAY_PER_SECOND=7)

    assert (
        sorted(map(str, at_once(30, lambda number: rate_budget.wait_seconds(rate_budget.SENDING))))
        == ["0"] * 7 + ["1"] * 23
    )


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_limits_hold_with_a_cache_that_cannot_count(
    configure: Configure, clock: Clock, settings: Any, tmp_path: Path
) -> None:
    """Django's file cache reads and writes in two steps, and admitted all of 30 at once."""
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path)}
    }
    configure(GATEWAY_PER_SECOND=7, GATEWAY_AT_ONCE=3)
    trouble = CallSeen(
        operation="collect",
        outcome="unknown",
        seconds=0.1,
        provider_code="mtn_bj",
        http_status=500,
        error=OutcomeUnknownError("answered 500"),
    )
    all_have_entered = threading.Barrier(30, timeout=30)

    def enter(number: int) -> bool:
        with rate_budget.slot() as free:
            all_have_entered.wait()
            return free

    spent = at_once(30, lambda number: rate_budget.wait_seconds(rate_budget.SENDING))
    slots = at_once(30, enter)
    counts = at_once(30, lambda number: cache_state.count_up("trouble", 600))
    at_once(5, lambda number: circuit_breaker.record(trouble))

    assert Counter(spent) == {0: 7, 1: 23}
    assert slots.count(True) == 3
    assert sorted(map(int, counts)) == list(range(1, 31))
    assert circuit_breaker.open_circuits(["mtn_bj"]) == ["gateway", "mtn_bj"]
    with rate_budget.slot() as free:  # the slots are free again
        assert free
    cache_state.drop("trouble")
    assert cache_state.read(["trouble"]) == {}


@pytest.mark.django_db
def test_poll_over_the_budget_is_due_again_and_not_counted(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    payment = begin()
    clock.advance(5)
    configure(GATEWAY_PER_SECOND=1)
    assert rate_budget.wait_seconds(rate_budget.SENDING) == 0

    sweep()

    attempt = only_attempt(payment)
    assert attempt.next_poll_at is not None
    assert ((attempt.next_poll_at - clock.at).total_seconds(), attempt.poll_count, gateway.questions) == (1, 0, 0)


@pytest.mark.django_db
def test_start_over_the_budget_is_refused_with_a_wait(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(GATEWAY_PER_SECOND=1)
    begin(merchant_reference="order-1")

    with pytest.raises(NotAllowedError) as refusal:
        begin(merchant_reference="order-2")

    assert (refusal.value.code, refusal.value.retry_after_seconds) == ("gateway_unavailable", 1)
    assert Payment.objects.count() == 1


@pytest.mark.django_db
def test_one_429_pauses_all_calls(begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure) -> None:
    """After a 429 to one payer nothing is sent, polled or read until the pause is over."""
    waiting = begin(merchant_reference="order-1")
    gateway.next_collects = [too_many]
    limited = begin(merchant_reference="order-2")
    assert (limited.status, limited.detail, rate_budget.pause_seconds()) == ("unknown", "checking", 5)

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        begin(merchant_reference="order-3")
    clock.advance(4)
    asked = gateway.questions
    sweep()
    assert gateway.questions == asked

    clock.advance(2)
    sweep()
    assert gateway.questions > asked
    assert only_attempt(limited).status == "pending"  # FeexPay accepted it all the same
    assert only_attempt(waiting).status == "pending"
    assert len(gateway.charges) == 2


def too_many(charge: object) -> object:
    return reply(429, {"statusCode": 429, "code": "RATE_LIMIT_EXCEEDED", "message": "slow down"})


# --- bulkhead -----------------------------------------------------------------------------------------


def test_slots_are_limited_and_given_back(clock: Clock, configure: Configure) -> None:
    configure(GATEWAY_AT_ONCE=2)

    with rate_budget.slot() as first, rate_budget.slot() as second:
        with rate_budget.slot() as third:
            assert (first, second, third) == (True, True, False)
        with rate_budget.slot() as fourth:
            assert fourth is False
    with rate_budget.slot() as again:
        assert again is True


def test_slot_is_given_back_after_an_error(clock: Clock, configure: Configure) -> None:
    configure(GATEWAY_AT_ONCE=1)
    with pytest.raises(RuntimeError), rate_budget.slot():
        raise RuntimeError

    with rate_budget.slot() as free:
        assert free is True


@pytest.mark.django_db
def test_full_bulkhead_refuses_inline_starts_and_admits_queued_ones(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(GATEWAY_AT_ONCE=1)
    with rate_budget.slot():
        with pytest.raises(NotAllowedError) as refusal:
            begin()
        assert (refusal.value.code, refusal.value.retry_after_seconds) == ("gateway_unavailable", 3)
        assert (Payment.objects.count(), gateway.charges) == (0, [])

        configure(DISPATCH="queue")
        payment = begin()
        sweep()

    assert only_attempt(payment).status == "pending"


def test_without_a_cache_everything_is_admitted(
    clock: Clock, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(GATEWAY_AT_ONCE=1, GATEWAY_PER_SECOND=1)
    monkeypatch.setattr(cache_state._availability, "_skip_until", float("inf"))

    with rate_budget.slot() as first, rate_budget.slot() as second:
        assert (first, second) == (True, True)
    assert spend(3, rate_budget.POLLING) == [0, 0, 0]
    admissions = [gate.admit("mtn_bj", queued=False) for _ in range(2)]
    with admissions[0], admissions[1]:
        pass
