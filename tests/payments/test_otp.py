"""Sending a payer's code: one code, one request, and only a poll settles the outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.transport import WireReply, WireRequest
from django_feexpay.models import Attempt, Credit, IdempotencyRecord, Payment, Provider
from django_feexpay.payments import idempotency, otp, webhook_hints
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.reconciliation.run import begin as compare_days
from django_feexpay.payments.reconciliation.run import compare
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import (
    FAILED,
    Charge,
    ModelGateway,
    cannot_reach,
    charge_and_answer,
    lose_the_answer,
    refuse,
    reply,
)
from tests.payments.fakes import Clock, Guard, Recorder, only_attempt, sweep, sweep_at_next_poll, sweep_until_final
from tests.payments.strategies import settle_at_once
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

CODE = "314159"
PAYER = {"first_name": "Ama", "last_name": "Canary", "email": "canary@example.com"}


@pytest.fixture
def waiting(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """A Coris payment whose payer was just sent a code."""
    return begin(provider="coris_bj", **PAYER)


def submit(payment: Payment, code: str = CODE, key: idempotency.Key | None = None) -> Payment:
    return otp.submit(payment.pk, code, source=Source.API, key=key)


def refused(payment: Payment, code: str = CODE) -> NotAllowedError:
    with pytest.raises(NotAllowedError) as caught:
        submit(payment, code)
    return caught.value


def answer_with_first_reference(first: Charge) -> Any:
    """The second request gets the first one's reference, as FeexPay probably does it."""

    def answer(charge: Charge) -> WireReply:
        first.code, charge.echo = charge.code, "replaced"
        return reply(200, {"reference": first.reference, "status": first.status})

    return answer


def wrong_code(first: Charge, reason: str = "INVALID_OTP") -> Any:
    def answer(charge: Charge) -> WireReply:
        first.status, first.reason, charge.echo = FAILED, reason, "replaced"
        return reply(200, {"reference": first.reference, "status": FAILED, "reason": reason})

    return answer


def test_start_waits_for_the_code(waiting: Payment, gateway: ModelGateway) -> None:
    assert (waiting.status, waiting.detail, waiting.attempt.otp_required) == ("pending", "otp_required", True)
    assert gateway.last().code == ""


def test_code_is_sent_once_in_a_second_request_and_a_poll_settles_the_payment(
    waiting: Payment, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    gateway.next_collects = [answer_with_first_reference(gateway.charges[0])]

    payment = submit(waiting)

    assert (payment.status, payment.detail, payment.attempt.otp_required) == ("pending", "waiting_for_payer", False)
    assert (len(gateway.charges), gateway.charges[0].code) == (2, CODE)
    gateway.charges[0].approve()
    sweep_until_final(payment, clock)
    assert (payment.status, signals.names(), Credit.objects.count()) == ("successful", ["payment_succeeded"], 1)


def test_new_reference_in_the_answer_replaces_the_first(waiting: Payment, gateway: ModelGateway, clock: Clock) -> None:
    payment = submit(waiting)

    assert payment.attempt.gateway_reference == gateway.charges[1].reference
    gateway.charges[1].approve()
    assert sweep_until_final(payment, clock).status == "successful"


# --- wrong codes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["INVALID_OTP", "OTP_EXPIRED", "The OTP is wrong"])
def test_wrong_code_that_ends_the_payment_at_feexpay_fails_it_and_allows_a_retry(
    waiting: Payment, gateway: ModelGateway, clock: Clock, reason: str
) -> None:
    gateway.next_collects = [wrong_code(gateway.charges[0], reason)]

    assert refused(waiting).code == "otp_rejected"

    waiting.refresh_from_db()
    assert (waiting.status, only_attempt(waiting).reason_code) == ("failed", "otp_rejected")
    again = retry(waiting.pk, source=Source.API)
    assert (again.detail, again.attempt.ordinal) == ("otp_required", 2)


def test_refused_code_can_be_followed_by_another(waiting: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse("INVALID_OTP"), answer_with_first_reference(gateway.charges[0])]

    assert refused(waiting, "000000").code == "otp_rejected"
    waiting = Payment.objects.for_reading().get(pk=waiting.pk)
    assert (waiting.status, waiting.detail) == ("pending", "otp_required")

    assert submit(waiting).detail == "waiting_for_payer"


def test_number_of_codes_is_limited(waiting: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse("INVALID_OTP")] * 9

    codes = [refused(waiting, f"00000{number}").code for number in range(7)]

    assert codes == ["otp_rejected"] * otp.MAX_CODES + ["otp_not_expected"] * 2
    assert len(gateway.charges) == 1 + otp.MAX_CODES


def test_answer_to_an_earlier_code_changes_nothing_about_the_next(
    waiting: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    """The second code may be charged: history is still searched for our id, and no third code is taken."""

    def refuse_late(charge: Charge) -> WireReply:
        Attempt.objects.update(otp_required=True)  # as if a second code was sent while the first was on its way
        gateway.next_collects = [lose_the_answer]
        submit(waiting, "222222")
        return refuse("INVALID_OTP")(charge)

    gateway.next_collects = [refuse_late]

    assert refused(waiting, "111111").code == "otp_rejected"

    attempt = only_attempt(waiting)
    assert (attempt.otp_count, attempt.otp_required, attempt.sought_by_echo) == (2, False, True)
    assert refused(waiting, "333333").code == "otp_not_expected"


@pytest.mark.parametrize("code", ["", "  ", "12", "1" * 17, "12;34", "١٢٣٤٥٦", "12\x0034", "12345é"])
def test_invalid_code_is_not_sent(waiting: Payment, gateway: ModelGateway, code: str) -> None:
    error = refused(waiting, code)

    assert [(field.field, field.code) for field in error.errors] == [("otp", "invalid")]
    assert len(gateway.charges) == 1


def test_spaces_in_a_code_are_ignored(waiting: Payment, gateway: ModelGateway) -> None:
    submit(waiting, " 314 159 ")

    assert gateway.last().code == CODE


# --- when none is expected ----------------------------------------------------------------------------------


def test_code_is_not_expected_twice(waiting: Payment, gateway: ModelGateway) -> None:
    submit(waiting)

    assert refused(waiting).code == "otp_not_expected"
    assert len(gateway.charges) == 2


@pytest.mark.parametrize(
    "changes", [{"provider": "mtn_bj"}, {"provider": "orange_bf", "phone": "74000050", "otp": CODE}]
)
def test_code_is_not_expected_by_other_providers(begin: Begin, gateway: ModelGateway, changes: dict[str, str]) -> None:
    assert refused(begin(**changes)).code == "otp_not_expected"
    assert len(gateway.charges) == 1


def test_code_is_not_expected_after_the_expiry(waiting: Payment, gateway: ModelGateway, clock: Clock) -> None:
    clock.advance_to(waiting.attempt.expires_at)

    assert refused(waiting).code == "otp_not_expected"
    assert sweep_until_final(waiting, clock).status == "expired"
    assert refused(waiting).code == "otp_not_expected"


@pytest.mark.postgres_only
def test_two_taps_at_once_send_one_code(waiting: Payment, gateway: ModelGateway) -> None:
    def tap(_: int) -> str:
        try:
            submit(waiting)
        except NotAllowedError as error:
            return error.code
        return "sent"

    outcomes = at_once(8, tap)

    assert sorted(map(str, outcomes)) == ["otp_not_expected"] * 7 + ["sent"]
    assert len(gateway.charges) == 2


# --- lost and failed requests -------------------------------------------------------------------------


def test_code_whose_answer_was_lost_is_never_resent_and_history_settles_it(
    waiting: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [lose_the_answer]

    payment = submit(waiting)

    assert (payment.status, payment.detail) == ("pending", "checking")
    assert refused(payment).code == "otp_not_expected"
    gateway.charges[1].approve()
    sweep_until_final(payment, clock)
    assert (payment.status, only_attempt(payment).gateway_reference) == ("successful", gateway.charges[1].reference)
    assert (len(gateway.charges), Credit.objects.count()) == (2, 1)


@pytest.mark.parametrize("outcome", [lose_the_answer, refuse("INVALID_OTP")], ids=["lost", "refused"])
def test_webhook_while_the_code_is_sent_keeps_the_attempt_due(
    outcome: Any, waiting: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    def answer_late(charge: Charge) -> WireReply:
        webhook_hints.receive(hint_from({"reference": gateway.charges[0].reference, "status": "SUCCESSFUL"}))
        reply: WireReply = outcome(charge)
        return reply

    gateway.next_collects = [answer_late]
    with suppress(NotAllowedError):
        submit(waiting)

    assert only_attempt(waiting).next_poll_at == clock.at


def test_failure_of_the_first_request_settles_nothing_while_the_second_may_be_paid(
    waiting: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [lose_the_answer]
    payment = submit(waiting)
    second = gateway.charges.pop()  # FeexPay processes it late
    gateway.charges[0].decline()
    sweep_at_next_poll(clock)
    payment.refresh_from_db()
    assert payment.status == "pending"

    gateway.charges.append(second)
    second.approve()

    assert sweep_until_final(payment, clock).status == "successful"


def test_declined_payment_whose_code_got_no_answer_fails_at_its_expiry(
    waiting: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [lose_the_answer]
    payment = submit(waiting)
    for charge in gateway.charges:
        charge.decline()

    assert sweep_until_final(payment, clock).status == "failed"
    assert clock.at >= only_attempt(payment).expires_at


def test_payment_of_a_dead_sender_is_searched_for(
    waiting: Payment, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otp, "_mark_accepted", lambda *args: None)
    submit(waiting)
    monkeypatch.undo()

    gateway.charges[1].approve()
    clock.advance(60)
    sweep()

    waiting.refresh_from_db()
    assert (waiting.status, len(gateway.charges)) == ("successful", 2)


@pytest.mark.parametrize("answer", [cannot_reach, refuse("NETWORK_UNAVAILABLE", 400), refuse("UNAUTHORIZED", 401)])
def test_code_that_did_not_arrive_can_be_sent_again(
    waiting: Payment, gateway: ModelGateway, clock: Clock, answer: Any
) -> None:
    gateway.next_collects = [answer, answer_with_first_reference(gateway.charges[0])]

    error = refused(waiting)

    assert (error.code, error.retry_after_seconds) == ("gateway_unavailable", 5)
    assert Payment.objects.for_reading().get(pk=waiting.pk).detail == "otp_required"
    assert submit(waiting).detail == "waiting_for_payer"


@pytest.mark.parametrize(
    "answer",
    [
        charge_and_answer(429, {"code": "RATE_LIMIT_EXCEEDED", "message": "slow down"}, names_it=False),
        charge_and_answer(429, {"message": "slow down"}, names_it=True),
        charge_and_answer(503, {"code": "NETWORK_UNAVAILABLE", "message": "maintenance"}, names_it=False),
        charge_and_answer(400, {"message": "Bad Request"}, names_it=False),
        charge_and_answer(400, {"message": "Celtiis BJ API Error"}, names_it=False),
        charge_and_answer(400, {"message": "INVALID_OTP"}, names_it=True),
    ],
)
def test_code_that_may_have_been_charged_is_searched_for_and_no_other_is_taken(
    waiting: Payment, gateway: ModelGateway, clock: Clock, answer: Any
) -> None:
    gateway.next_collects = [answer]

    payment = submit(waiting)

    assert (payment.status, payment.detail) == ("pending", "checking")
    assert refused(waiting).code == "otp_not_expected"
    gateway.charges[1].approve()
    assert sweep_until_final(payment, clock).status == "successful"
    assert len(gateway.charges) == 2


def test_reference_of_another_attempt_is_not_stored(
    begin: Begin, waiting: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    other = begin(phone_ending="51")
    stolen = gateway.last().reference
    gateway.next_collects = [lambda charge: reply(200, {"reference": stolen, "status": "PENDING"})]

    payment = submit(waiting)

    assert payment.detail == "checking"
    assert only_attempt(other).gateway_reference == stolen
    gateway.charges[-1].approve()
    assert sweep_until_final(payment, clock).status == "successful"


# --- keys, secrets, flows ---------------------------------------------------------------------------------------


def key_of(payment: Payment, code: str = CODE) -> idempotency.Key:
    return idempotency.key_of(payment.user, "tap-1", "otp", {"otp": code})


def test_same_key_sends_one_code(waiting: Payment, gateway: ModelGateway) -> None:
    submit(waiting, key=key_of(waiting))

    with pytest.raises(NotAllowedError, match="idempotency_conflict"):
        submit(waiting, key=key_of(waiting))
    assert len(gateway.charges) == 2


def test_key_of_a_refused_code_can_be_used_again(waiting: Payment, gateway: ModelGateway) -> None:
    gateway.next_collects = [cannot_reach]
    with pytest.raises(NotAllowedError):
        submit(waiting, key=key_of(waiting))
    assert IdempotencyRecord.objects.count() == 0

    submit(waiting, key=key_of(waiting))

    assert IdempotencyRecord.objects.count() == 1


def test_code_and_names_are_stored_nowhere_after_sending(
    waiting: Payment, gateway: ModelGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert waiting.attempt.payer_sealed is not None  # they are sent once more with the code
    gateway.next_collects = [lose_the_answer]

    submit(waiting)

    attempt = only_attempt(waiting)
    assert attempt.payer_sealed is None
    written = f"{Attempt.objects.values().get()} {list(waiting.events.values())} {caplog.text}"
    assert CODE not in written
    assert "anary" not in written


def test_code_is_not_expected_where_the_shop_has_a_push_flow(begin: Begin, gateway: ModelGateway) -> None:
    Provider.objects.filter(pk="coris_bj").update(flow="push")

    payment = begin(provider="coris_bj")

    assert (payment.detail, refused(payment).code) == ("waiting_for_payer", "otp_not_expected")


def test_queued_start_waits_for_the_code(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = begin(provider="coris_bj")
    assert refused(payment).code == "otp_not_expected"

    sweep()

    assert submit(payment).detail == "waiting_for_payer"


def test_no_code_is_asked_for_if_the_first_answer_says_paid(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """A code would be a second request that moves money."""
    gateway.next_collects = [settle_at_once]

    payment = begin(provider="coris_bj")

    assert (payment.detail, payment.attempt.otp_required) == ("waiting_for_payer", False)
    assert refused(payment).code == "otp_not_expected"
    assert sweep_until_final(payment, clock).status == "successful"


def test_no_code_is_asked_for_after_the_last_one(waiting: Payment, gateway: ModelGateway, clock: Clock) -> None:
    """A client that reads `otp_required` may send a code."""
    gateway.next_collects = [refuse("OTP_INVALID")] * otp.MAX_CODES
    said = [refused(waiting) for _ in range(otp.MAX_CODES)]

    payment = Payment.objects.for_reading().get(pk=waiting.pk)
    assert {error.code for error in said} == {"otp_rejected"}
    assert "accepts no other code" in said[-1].message
    assert (payment.attempt.otp_required, payment.detail) == (False, "waiting_for_payer")
    assert refused(waiting).code == "otp_not_expected"


def test_refused_code_that_was_charged_is_found_by_the_nightly_job(
    waiting: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [refuse("OTP_INVALID")]
    assert refused(waiting).code == "otp_rejected"
    gateway.last().approve()
    sweep_until_final(waiting, clock)
    assert (waiting.status, Credit.objects.count()) == ("expired", 0)
    clock.advance(86_400)

    day = waiting.created_at.date()
    compare(compare_days(day, day), source=Source.WORKER)

    waiting.refresh_from_db()
    assert (waiting.status, Credit.objects.count()) == ("successful", 1)
    assert only_attempt(waiting).gateway_reference == gateway.last().reference


def test_failed_code_settles_nothing_while_unread_history_may_hide_a_paid_one(
    waiting: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [lose_the_answer]
    submit(waiting)
    gateway.charges[0].decline()
    hidden = gateway.charges.pop()
    gateway.history_total = 9999
    clock.advance(1000)
    sweep()
    waiting.refresh_from_db()
    assert waiting.status == "pending"
    with pytest.raises(NotAllowedError, match="payment_open"):
        retry(waiting.pk, source=Source.API)

    hidden.approve()
    gateway.charges.append(hidden)
    gateway.history_total = None
    assert sweep_until_final(waiting, clock).status == "successful"


def test_code_is_not_sent_if_an_earlier_attempt_is_paid(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin(provider="coris_bj")
    first = gateway.last()
    first.decline()
    sweep_until_final(payment, clock)
    retry(payment.pk, source=Source.API)
    assert only_waiting(payment).otp_required
    first.approve()
    reconcile(payment.attempts.get(ordinal=1).pk, source=Source.WORKER)
    asked = len(gateway.charges)

    assert refused(payment).code == "otp_not_expected"
    assert (len(gateway.charges), Credit.objects.count()) == (asked, 1)


def test_code_is_not_sent_if_another_payment_of_the_order_is_paid(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    late = sweep_until_final(begin(merchant_reference="order-1"), clock)
    payment = begin(provider="coris_bj", merchant_reference="order-1")
    gateway.charges[0].approve()
    reconcile(only_attempt(late).pk, source=Source.WORKER)

    assert refused(payment).code == "otp_not_expected"
    assert (len(gateway.charges), Credit.objects.count()) == (2, 1)


def test_failure_that_was_read_before_a_code_was_sent_settles_nothing(
    waiting: Payment, gateway: ModelGateway, clock: Clock, guard: Guard
) -> None:
    """Otherwise the payer could start again while that code is being charged."""
    gateway.charges[0].decline()
    gateway.next_collects = [lose_the_answer]
    guard.inner = WhileAsked(gateway, lambda: submit(waiting))

    reconcile(only_attempt(waiting).pk, source=Source.WORKER)

    attempt = only_attempt(waiting)
    assert (attempt.status, attempt.otp_count, len(gateway.charges)) == ("pending", 1, 2)
    gateway.last().approve()
    assert sweep_until_final(waiting, clock).status == "successful"


class WhileAsked:
    """A transport that calls a function during the first status question."""

    def __init__(self, gateway: ModelGateway, act: Callable[[], object]) -> None:
        self._gateway = gateway
        self._acts = [act]

    def exchange(self, request: WireRequest) -> WireReply:
        answer = self._gateway.exchange(request)
        if "/single/status/" in request.url and self._acts:
            self._acts.pop()()
        return answer


def only_waiting(payment: Payment) -> Attempt:
    return Attempt.objects.get(payment=payment, status="pending")


@pytest.mark.parametrize(("written", "sent"), [("123 456", "123456"), (" 123456", "123456")])
def test_code_dialled_before_the_start_may_have_spaces(
    begin: Begin, gateway: ModelGateway, written: str, sent: str
) -> None:
    begin(provider="orange_bf", phone="74000050", otp=written)

    assert gateway.last().code == sent


@pytest.mark.parametrize("written", ["  ", "12", "123-456", "١٢٣٤٥٦"])
def test_invalid_code_before_the_start_is_refused(begin: Begin, gateway: ModelGateway, written: str) -> None:
    with pytest.raises(NotAllowedError, match="validation_error"):
        begin(provider="orange_bf", phone="74000050", otp=written)
    assert gateway.charges == []


def test_payer_without_money_is_not_told_that_the_code_was_wrong(waiting: Payment, gateway: ModelGateway) -> None:
    gateway.next_collects = [refuse("INSUFFICIENT_FUNDS")]

    error = refused(waiting)

    assert error.code == "otp_rejected"
    assert "not enough money" in error.message
