"""When FeexPay or one of its providers is in trouble, nobody is sent there in vain, and nothing is lost by waiting."""

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
from tests.payments.fakes import Clock, look_again, moves, only_attempt, sweep

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


def see(count: int, exchange: CallSeen) -> None:
    for _ in range(count):
        circuit_breaker.record(exchange)


LOST = seen(OutcomeUnknownError())
NOT_SENT = seen(NotSentError())
SERVER_ERROR = seen(OutcomeUnknownError(), status=502)
SERVICED = seen(OutcomeUnknownError(code="network_unavailable"), status=503)
GOOD = seen()


# --- what opens it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [LOST, NOT_SENT, SERVER_ERROR], ids=["lost", "not sent", "502"])
def test_opens_after_five_in_a_row_for_the_provider_and_the_gateway(trouble: CallSeen, clock: Clock) -> None:
    see(4, trouble)
    assert circuit_breaker.open_circuits(CODES) == []

    circuit_breaker.record(trouble)

    assert circuit_breaker.open_circuits(CODES) == [GATEWAY, "mtn_bj"]
    assert circuit_breaker.wait_seconds("wave_sn", Action.SEND) == 30


def test_one_that_goes_well_begins_the_row_anew(clock: Clock) -> None:
    see(4, LOST)
    circuit_breaker.record(GOOD)
    see(4, LOST)

    assert circuit_breaker.open_circuits(CODES) == []


def test_opens_when_half_of_the_last_twenty_went_wrong(clock: Clock) -> None:
    for _ in range(9):
        circuit_breaker.record(LOST)
        circuit_breaker.record(GOOD)
    assert circuit_breaker.open_circuits(CODES) == []

    circuit_breaker.record(LOST)
    circuit_breaker.record(GOOD)
    circuit_breaker.record(LOST)

    assert circuit_breaker.open_circuits(CODES) == [GATEWAY, "mtn_bj"]


def test_a_third_of_trouble_does_not_open_it(clock: Clock) -> None:
    for _ in range(40):
        circuit_breaker.record(LOST)
        see(2, GOOD)

    assert circuit_breaker.open_circuits(CODES) == []


def test_one_maintenance_answer_opens_nothing_and_five_only_the_provider(clock: Clock) -> None:
    circuit_breaker.record(SERVICED)
    assert circuit_breaker.open_circuits(CODES) == []

    see(4, SERVICED)

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
        "a payer who does not answer a synchronous provider",
        "a reader who did not wait",
    ],
)
def test_what_is_no_trouble_of_feexpays_never_opens_it(exchange: CallSeen, clock: Clock) -> None:
    see(50, exchange)

    assert circuit_breaker.open_circuits(CODES) == []


def test_questions_that_fail_open_the_gateway_and_no_provider(clock: Clock) -> None:
    see(5, seen(OutcomeUnknownError(), operation="history", status=500))

    assert circuit_breaker.open_circuits(CODES) == [GATEWAY]


# --- while it is open --------------------------------------------------------------------------------


def test_one_probe_each_thirty_seconds(clock: Clock) -> None:
    see(5, LOST)
    clock.advance(29)
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 1

    clock.advance(1)
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 0
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 30

    circuit_breaker.record(LOST)
    clock.advance(30)
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 0


def test_what_is_only_written_down_does_not_take_the_probe_of_who_sends_it(clock: Clock) -> None:
    see(5, LOST)
    clock.advance(30)

    assert circuit_breaker.wait_seconds("mtn_bj", Action.QUEUE) == 0
    assert circuit_breaker.wait_seconds("mtn_bj", Action.QUEUE) == 30
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 0


def test_probe_that_goes_well_closes_it(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    see(5, LOST)
    clock.advance(31)
    assert circuit_breaker.wait_seconds("mtn_bj", Action.SEND) == 0

    circuit_breaker.record(GOOD)

    assert circuit_breaker.open_circuits(CODES) == []
    assert "mtn_bj works again" in caplog.text
    see(4, LOST)
    assert circuit_breaker.open_circuits(CODES) == [], "the row before it closed still counts"


def test_straggler_that_left_before_the_first_probe_closes_nothing(clock: Clock) -> None:
    see(5, LOST)
    clock.advance(40)

    circuit_breaker.record(seen(seconds=15.0))

    assert circuit_breaker.open_circuits(CODES) == [GATEWAY, "mtn_bj"]


def test_question_that_is_answered_closes_the_gateway_and_leaves_the_provider(clock: Clock) -> None:
    see(5, LOST)
    clock.advance(31)

    circuit_breaker.record(seen(operation="status", provider=None))

    assert circuit_breaker.open_circuits(CODES) == ["mtn_bj"]


def test_payers_are_shown_trouble_only_until_somebody_may_probe(clock: Clock) -> None:
    see(5, LOST)
    clock.advance(10)
    assert circuit_breaker.seconds_until_probe(CODES) == {GATEWAY: 20, "mtn_bj": 20}

    clock.advance(20)

    assert circuit_breaker.seconds_until_probe(CODES) == {}
    assert circuit_breaker.open_circuits(CODES) == [GATEWAY, "mtn_bj"]


def test_trouble_is_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    see(30, LOST)

    assert caplog.text.count("mtn_bj is in trouble") == 1


# --- at the doors ------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("dispatch", ["inline", "queue"])
def test_start_is_turned_away_before_anything_is_written(
    dispatch: str, begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH=dispatch)
    see(5, LOST)
    clock.advance(12)

    with pytest.raises(NotAllowedError) as refusal:
        begin()

    assert (refusal.value.code, refusal.value.retry_after_seconds) == ("gateway_unavailable", 18)
    assert Payment.objects.count() == 0
    assert gateway.charges == []


@pytest.mark.django_db
def test_trouble_met_while_sending_opens_it_for_the_next(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [lose_the_answer] * 5
    for order in range(5):
        begin(merchant_reference=f"order-{order}")

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        begin(merchant_reference="order-6")

    assert Payment.objects.filter(status="unknown").count() == 5


@pytest.mark.django_db
def test_payers_who_cannot_pay_close_no_door(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse("LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED")] * 12

    for order in range(12):
        begin(merchant_reference=f"order-{order}")

    assert Payment.objects.filter(status="rejected").count() == 12


@pytest.mark.django_db
def test_retry_is_turned_away_before_an_attempt_is_opened(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse()]
    payment = begin()
    see(5, LOST)

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(payment.pk, source=Source.API)

    assert only_attempt(payment).status == "rejected"


@pytest.mark.django_db
def test_queued_attempt_waits_where_it_is_and_goes_out_when_the_trouble_is_over(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    see(5, LOST)
    sweep()

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.sent_at, gateway.charges) == ("created", None, [])
    assert attempt.next_poll_at is not None
    assert (attempt.next_poll_at - clock.at).total_seconds() == 30

    look_again(clock)
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
    look_again(clock)
    assert only_attempt(payment).status == "created"
    look_again(clock)

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.reason_code, attempt.sent_at) == ("expired", "never_sent", None)
    assert clock.at == attempt.expires_at
    assert gateway.charges == []


@pytest.mark.django_db
def test_maintenance_word_over_the_wire_is_doubted_and_opens_nothing(
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
def test_reader_of_a_status_does_not_wait_for_a_gateway_in_trouble(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    from django_feexpay.payments.reconcile import reconcile_if_due

    payment = begin()
    clock.advance(60)
    see(5, NOT_SENT)

    assert not reconcile_if_due(only_attempt(payment), source=Source.API, total_seconds=2.0)

    assert gateway.questions == 0
    due = only_attempt(payment).next_poll_at
    assert due is not None
    assert due <= clock.at, "the worker still asks"


# --- without the cache -------------------------------------------------------------------------------


class BrokenCache(LocMemCache):
    """Redis is down: everything raises."""

    def _raise(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("redis is down")

    get = set = add = incr = get_many = delete_many = delete = get_or_set = _raise


@pytest.fixture
def no_cache(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.BrokenCache"}}
    monkeypatch.setattr(cache_state, "_availability", cache_state._Availability())


@pytest.mark.django_db
def test_without_its_cache_it_is_closed_and_says_so_once(
    no_cache: None, begin: Begin, gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.next_collects = [lose_the_answer] * 6
    with caplog.at_level(logging.ERROR):
        for order in range(6):
            begin(merchant_reference=f"order-{order}")

    assert Payment.objects.filter(status="unknown").count() == 6
    assert caplog.text.count("the cache is away") == 1


@pytest.mark.django_db
def test_cache_that_comes_back_is_used_again(
    no_cache: None, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert cache_state.count_up("x", 5) == 0
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "back"}}
    assert cache_state.count_up("x", 5) == 0, "it is left alone for a while"

    monkeypatch.setattr(cache_state._availability, "_skip_until", 0.0)

    assert [cache_state.count_up("x", 5), cache_state.count_up("x", 5)] == [1, 2]
    assert "the cache is back" in caplog.text


@pytest.mark.django_db
def test_limits_that_changed_while_it_waited_refuse_it_at_the_door(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, change_provider: Callable[..., None]
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    change_provider(max_amount=4999)

    sweep()

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.reason_code, gateway.charges) == ("rejected", "limits_changed", [])


@pytest.mark.django_db
def test_provider_switched_off_while_it_waited_refuses_it_at_the_door(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, change_provider: Callable[..., None]
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    change_provider(enabled=False)

    sweep()

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.reason_code, gateway.charges) == ("rejected", "provider_disabled", [])


@pytest.mark.django_db
def test_payer_who_is_asked_late_still_has_a_real_window(
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
def test_attempt_that_cannot_be_sent_keeps_its_first_deadline(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    gateway.next_collects = [accept] * 0 + [cannot_reach] * 60
    payment = begin()
    deadline = only_attempt(payment).expires_at

    for _ in range(60):
        if only_attempt(payment).status != "created":
            break
        look_again(clock)

    attempt = Attempt.objects.get(payment=payment)
    assert (attempt.status, attempt.reason_code, attempt.expires_at) == ("expired", "never_sent", deadline)
    assert clock.at <= deadline


@pytest.mark.django_db
def test_sending_again_by_itself_is_bounded_however_long_the_expiry(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue", EXPIRY_SECONDS=7 * 86_400)
    gateway.next_collects = [cannot_reach] * 60
    payment = begin()

    for _ in range(60):
        if only_attempt(payment).status != "created":
            break
        look_again(clock)

    assert (only_attempt(payment).status, moves(payment).count("sending")) == ("expired", 12)
    assert gateway.charges == []
