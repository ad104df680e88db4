"""The circuit breaker: when it opens, what it refuses, and when it closes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache

from django_feexpay import cache_state
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import (
    GatewayError,
    MisconfiguredError,
    NotSentError,
    OutcomeUnknownError,
    RefusedError,
)
from django_feexpay.models import Attempt, Payment
from django_feexpay.payments.admission import circuit_breaker
from django_feexpay.payments.admission.circuit_breaker import GATEWAY, Action
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.retry import retry
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, accept, cannot_reach, lose_the_answer, refuse, reply
from tests.payments.fakes import Clock, moves, only_attempt, sweep, sweep_at_next_poll

CODES = ("mtn_bj", "moov_bj", "wave_sn")


def seen(
    error: GatewayError | None = None,
    *,
    operation: str = "collect",
    provider: str | None = "mtn_bj",
    status: int | None = None,
    seconds: float = 0.1,
) -> CallSeen:
    return CallSeen(
        operation=operation,
        outcome="answered" if error is None else error.code,
        seconds=seconds,
        provider_code=provider,
        http_status=200 if error is None else status,
        error=error,
    )


def record(count: int, call: CallSeen) -> None:
    for _ in range(count):
        circuit_breaker.record(call)


LOST = seen(OutcomeUnknownError())
NOT_SENT = seen(NotSentError())
SERVER_ERROR = seen(OutcomeUnknownError(), status=502)
MAINTENANCE = seen(OutcomeUnknownError(code="network_unavailable"), status=503)
GOOD = seen()


# --- opening ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [LOST, NOT_SENT, SERVER_ERROR], ids=["lost", "not sent", "502"])
def test_opens_after_five_in_a_row_for_the_provider_and_the_gateway(trouble: CallSeen, clock: Clock) -> None:
    record(4, trouble)
    assert circuit_breaker.open_circuits(CODES) == []

    circuit_breaker.record(trouble)

    assert circuit_breaker.open_circuits(CODES) == [GATEWAY, "mtn_bj"]
    assert circuit_breaker.wait_seconds("wave_sn", Action.SEND) == 30


def test_success_resets_the_row_of_failures(clock: Clock) -> None:
    record(4, LOST)
    circuit_breaker.record(GOOD)
    record(4, LOST)

    assert circuit_breaker.open_circuits(CODES) == []


def test_opens_when_half_of_the_last_twenty_failed(clock: Clock) -> None:
    for _ in range(9):
        circuit_breaker.record(LOST)
        circuit_breaker.record(GOOD)
    assert circuit_breaker.open_circuits(CODES) == []

    circuit_breaker.record(LOST)
    circuit_breaker.record(GOOD)
    circuit_breaker.record(LOST)

    assert circuit_breaker.open_circuits(CODES) == [GATEWAY, "mtn_bj"]


def test_a_third_of_failures_does_not_open_it(clock: Clock) -> None:
    for _ in range(40):
        circuit_breaker.record(LOST)
        record(2, GOOD)

    assert circuit_breaker.open_circuits(CODES) == []


def test_one_maintenance_answer_opens_nothing_and_five_only_the_provider(clock: Clock) -> None:
    circuit_breaker.record(MAINTENANCE)
    assert circuit_breaker.open_circuits(CODES) == []

    record(4, MAINTENANCE)

    assert circuit_breaker.open_circuits(CODES) == ["mtn_bj"]
    assert circuit_breaker.wait_seconds("wave_sn", Action.SEND) == 0


@pytest.mark.parametrize(
    "exchange",
    [
        seen(RefusedError(code="low_balance"), status=400),
        seen(RefusedError(code="invalid_phone"), status=422),
        seen(RefusedError(code="provider_unavailable")),
        seen(MisconfiguredError(code="invalid_api_key"), status=401),
        seen(MisconfiguredError(code="invalid_api_key")),
        seen(OutcomeUnknownError(code="rate_limited"), status=429),
        seen(OutcomeUnknownError(), status=409),
        seen(OutcomeUnknownError(), provider="moov_bj"),
        seen(OutcomeUnknownError(), operation="status", provider=None),
    ],
    ids=[
        "low balance",
        "wrong msisdn",
        "never left",
        "wrong key",
        "no key",
        "slow down",
        "duplicate",
        "timeout of a synchronous provider",
        "timeout of a status question",
    ],
)
def test_calls_that_are_no_failure_of_feexpay_never_open_it(exchange: CallSeen, clock: Clock) -> None:
    record(50, exchange)

    assert circuit_breaker.open_circuits(CODES) == []


def test_questions_that_fail_open_the_gateway_and_no_provider(clock: Clock) -> None:
    record(5, seen(OutcomeUnknownError(), operation="history", status=500))

    assert circuit_breaker.open_circuits(CODES) == [GATEWAY]


# --- while it is open --------------------------------------------------------------------------------


def test_one_probe_each_thirty_seconds(clock: Clock) -> None:
    record(5, LOST)
    clock.advance(29)
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 1

    clock.advance(1)
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 0
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 30

    circuit_breaker.record(LOST)
    clock.advance(30)
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 0


def test_queueing_does_not_take_the_probe_of_sending(clock: Clock) -> None:
    record(5, LOST)
    clock.advance(30)

    assert circuit_breaker.wait_seconds("mtn_bj", Action.QUEUE) == 0
    assert circuit_breaker.wait_seconds("mtn_bj", Action.QUEUE) == 30
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 0


def test_successful_probe_closes_it(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    record(5, LOST)
    clock.advance(31)
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 0

    circuit_breaker.record(GOOD)

    assert circuit_breaker.open_circuits(CODES) == []
    assert "mtn_bj works again" in caplog.text
    record(4, LOST)
    assert circuit_breaker.open_circuits(CODES) == [], "failures from before it closed still count"


def test_success_sent_before_the_first_probe_closes_nothing(clock: Clock) -> None:
    record(5, LOST)
    clock.advance(40)

    circuit_breaker.record(seen(seconds=15.0))

    assert circuit_breaker.open_circuits(CODES) == [GATEWAY, "mtn_bj"]


def test_answered_question_closes_the_gateway_circuit_only(clock: Clock) -> None:
    record(5, LOST)
    clock.advance(31)

    circuit_breaker.record(seen(operation="status", provider=None))

    assert circuit_breaker.open_circuits(CODES) == ["mtn_bj"]


def test_provider_is_shown_as_troubled_until_a_probe_is_admitted(clock: Clock) -> None:
    record(5, LOST)
    clock.advance(10)
    assert circuit_breaker.seconds_until_probe(CODES) == {GATEWAY: 20, "mtn_bj": 20}

    clock.advance(20)

    assert circuit_breaker.seconds_until_probe(CODES) == {}
    assert circuit_breaker.open_circuits(CODES) == [GATEWAY, "mtn_bj"]


def test_trouble_is_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    record(30, LOST)

    assert caplog.text.count("mtn_bj is in trouble") == 1


# --- starts, retries and the worker -------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("dispatch", ["inline", "queue"])
def test_start_is_refused_before_anything_is_written(
    dispatch: str, begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH=dispatch)
    record(5, LOST)
    clock.advance(12)

    with pytest.raises(NotAllowedError) as refusal:
        begin()

    assert (refusal.value.code, refusal.value.retry_after_seconds) == ("gateway_unavailable", 18)
    assert Payment.objects.count() == 0
    assert gateway.charges == []


@pytest.mark.django_db
def test_failures_while_sending_open_it_for_the_next_start(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [lose_the_answer] * 5
    for order in range(5):
        begin(merchant_reference=f"order-{order}")

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        begin(merchant_reference="order-6")

    assert Payment.objects.filter(status="unknown").count() == 5


@pytest.mark.django_db
def test_payers_without_money_do_not_open_it(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse("LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED")] * 12

    for order in range(12):
        begin(merchant_reference=f"order-{order}")

    assert Payment.objects.filter(status="rejected").count() == 12


@pytest.mark.django_db
def test_retry_is_refused_before_an_attempt_is_opened(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse()]
    payment = begin()
    record(5, LOST)

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(payment.pk, source=Source.API)

    assert only_attempt(payment).status == "rejected"


@pytest.mark.django_db
def test_queued_attempt_waits_and_is_sent_when_the_circuit_closes(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    record(5, LOST)
    sweep()

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.sent_at, gateway.charges) == ("created", None, [])
    assert attempt.next_poll_at is not None
    assert (attempt.next_poll_at - clock.at).total_seconds() == 30

    sweep_at_next_poll(clock)
    assert moves(payment) == ["created", "sending", "pending"]
    assert circuit_breaker.open_circuits(CODES) == []


@pytest.mark.django_db
def test_queued_attempt_waits_no_longer_than_its_expiry(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue", EXPIRY_SECONDS=25)
    payment = begin()
    cache.set(
        "feexpay:breaker:gateway:open", (clock.at.timestamp(), clock.at.timestamp() + circuit_breaker.PAUSE_SECONDS)
    )
    sweep_at_next_poll(clock)
    assert only_attempt(payment).status == "created"
    sweep_at_next_poll(clock)

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.reason_code, attempt.sent_at) == ("expired", "never_sent", None)
    assert clock.at == attempt.expires_at
    assert gateway.charges == []


@pytest.mark.django_db
def test_maintenance_answer_makes_the_attempt_unknown_and_opens_nothing(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [
        lambda charge: reply(503, {"statusCode": 503, "code": "NETWORK_UNAVAILABLE", "message": "maintenance"})
    ]

    payment = begin()

    assert payment.events.latest("id").because == "network_unavailable"
    assert (payment.status, payment.detail) == ("unknown", "checking")
    assert circuit_breaker.open_circuits(CODES) == []


@pytest.mark.django_db
def test_status_read_does_not_call_feexpay_while_its_circuit_is_open(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    from django_feexpay.payments.reconcile import reconcile_if_due

    payment = begin()
    clock.advance(60)
    record(5, NOT_SENT)

    assert not reconcile_if_due(only_attempt(payment), source=Source.API, total_seconds=2.0)

    assert gateway.questions == 0
    due = only_attempt(payment).next_poll_at
    assert due is not None
    assert due <= clock.at, "the worker still asks"


# --- without the cache -------------------------------------------------------------------------------


class BrokenCache(LocMemCache):
    """A cache whose server is down."""

    def _raise(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("redis is down")

    get = set = add = incr = get_many = delete_many = delete = get_or_set = _raise


@pytest.fixture
def no_cache(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.BrokenCache"}}
    monkeypatch.setattr(cache_state, "_availability", cache_state._Availability())


@pytest.mark.django_db
def test_without_a_cache_it_stays_closed_and_logs_once(
    no_cache: None, begin: Begin, gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.next_collects = [lose_the_answer] * 6
    with caplog.at_level(logging.ERROR):
        for order in range(6):
            begin(merchant_reference=f"order-{order}")

    assert Payment.objects.filter(status="unknown").count() == 6
    assert caplog.text.count("the cache is away") == 1


@pytest.mark.django_db
def test_cache_that_works_again_is_used_again(
    no_cache: None, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert cache_state.count_up("x", 5) == 0
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "back"}}
    assert cache_state.count_up("x", 5) == 0, "the cache is skipped for some seconds"

    monkeypatch.setattr(cache_state._availability, "_skip_until", 0.0)

    assert [cache_state.count_up("x", 5), cache_state.count_up("x", 5)] == [1, 2]
    assert "the cache is back" in caplog.text


@pytest.mark.django_db
def test_limits_that_changed_while_it_was_queued_reject_the_attempt(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, change_provider: Callable[..., None]
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    change_provider(max_amount=4999)

    sweep()

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.reason_code, gateway.charges) == ("rejected", "limits_changed", [])


@pytest.mark.django_db
def test_provider_disabled_while_it_was_queued_rejects_the_attempt(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, change_provider: Callable[..., None]
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    change_provider(enabled=False)

    sweep()

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.reason_code, gateway.charges) == ("rejected", "provider_disabled", [])


@pytest.mark.django_db
def test_payer_who_is_prompted_late_still_has_five_minutes(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    deadline = only_attempt(payment).expires_at
    clock.advance(895)
    sweep()

    attempt = only_attempt(payment)
    assert attempt.status == "pending"
    assert (attempt.expires_at - clock.at).total_seconds() == 300

    clock.advance_to(deadline)
    clock.advance(60)
    sweep()
    assert only_attempt(payment).status == "pending", "it expired right after its prompt"


@pytest.mark.django_db
def test_attempt_that_cannot_be_sent_keeps_its_first_expiry(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    gateway.next_collects = [accept] * 0 + [cannot_reach] * 60
    payment = begin()
    deadline = only_attempt(payment).expires_at

    for _ in range(60):
        if only_attempt(payment).status != "created":
            break
        sweep_at_next_poll(clock)

    attempt = Attempt.objects.get(payment=payment)
    assert (attempt.status, attempt.reason_code, attempt.expires_at) == ("expired", "never_sent", deadline)
    assert clock.at <= deadline


@pytest.mark.django_db
def test_number_of_sends_is_limited_whatever_the_expiry(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue", EXPIRY_SECONDS=7 * 86_400)
    gateway.next_collects = [cannot_reach] * 60
    payment = begin()

    for _ in range(60):
        if only_attempt(payment).status != "created":
            break
        sweep_at_next_poll(clock)

    assert (only_attempt(payment).status, moves(payment).count("sending")) == ("expired", 12)
    assert gateway.charges == []
