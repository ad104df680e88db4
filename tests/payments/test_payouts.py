"""Refunds paid out through FeexPay's payout endpoint: by two persons, at most once, recorded by proof only.

The sandbox listens on a real socket. It knows the endpoint from the same public sources as the client; FeexPay itself
was never asked.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import Error, IntegrityError, connection, transaction

from django_feexpay import conf, failpoints
from django_feexpay.catalogue.payout_routes import PAYOUT_ROUTES
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.gateway.request_bodies import PayoutRequest
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import OutboxMessage, Payment, Payout, PayoutEvent, Refund, StaffAction
from django_feexpay.payments import outbox, payout_polls, payouts, refunds
from django_feexpay.payments.errors import InsideAtomicError
from django_feexpay.payments.ledger import Source
from tests.conftest import Configure
from tests.payments.fakes import Clock, Recorder
from tests.payments.paying_out import (
    CHECKER,
    MAKER,
    Tap,
    balance,
    broken,
    close,
    code_of,
    lie,
    propose,
    send,
    state_of,
    work,
    work_until_over,
)
from tests.payments.test_over_the_socket import wait_until
from tests.payments.threads import at_once
from tests.sandbox.running import RunningSandbox

pytestmark = pytest.mark.django_db(transaction=True)


def spend_elsewhere(amount: int) -> None:
    """Another system of the shop pays this out."""
    route, msisdn = PAYOUT_ROUTES["mtn_bj"], Msisdn("229", "0161000009")
    request = PayoutRequest(route=route, msisdn=msisdn, amount=amount, payout_id=str(uuid4()), motive="Wages")
    conf.gateway().pay_out(request)


# --- the whole way -------------------------------------------------------------------------------------


def test_payout_reaches_the_payer_and_records_the_refund_once(
    credited: Payment, tap: Tap, sandbox: RunningSandbox, clock: Clock, signals: Recorder, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    before = balance(sandbox)
    refund = propose(credited)
    assert (refund.state, tap.sent) == ("proposed", 0)

    payout = send(refund)
    assert (payout.state, state_of(refund), balance(sandbox)) == ("pending", "approved", before - 2000)
    work_until_over(payout, clock)
    work()
    outbox.deliver()
    outbox.deliver()

    refund.refresh_from_db()
    assert (refund.state, refund.outside_reference) == ("recorded", payout.gateway_reference)
    assert (refund.proposed_by, refund.approved_by) == (MAKER, CHECKER)
    assert (payout.route, payout.amount, payout.msisdn_sealed) == ("transfer/global", 2000, None)
    assert (
        signals.names().count("payment_refunded")
        == OutboxMessage.objects.filter(signal="payment_refunded").count()
        == 1
    )
    steps = list(PayoutEvent.objects.order_by("id").values_list("to_state", flat=True))
    assert steps == ["created", "sending", "pending", "successful"]
    assert (tap.sent, balance(sandbox)) == (1, before - 2000)
    kept = (
        str(list(StaffAction.objects.values())) + str(list(PayoutEvent.objects.values())) + caplog.text + repr(payout)
    )
    assert "61000000" not in kept
    assert broken() == []


def test_sandbox_lists_the_payout(credited: Payment, sandbox: RunningSandbox) -> None:
    payout = send(propose(credited))

    [row] = sandbox.payments(echo=str(payout.pk))
    assert (row["type"], row["amount"]) == ("PAYOUT_API", 2000)
    assert "MTN · payout" in sandbox.get("/payments", headers={"Accept-Language": "en"}).text


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"payouts_enabled": False}, "payout_not_enabled"),
        ({}, "balance_too_low"),
        ({"allowed_addresses": "10.0.0.1"}, "address_not_allowed"),
        ({"not_activated": "mtn"}, "provider_not_activated"),
        ({"shop_disabled": True}, "unknown_shop"),
    ],
)
def test_definite_refusal_ends_the_payout_and_another_way_is_open(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, changed: dict[str, Any], code: str
) -> None:
    sandbox.change(**changed)
    if code == "balance_too_low":
        spend_elsewhere(5000)
        tap.sent = 0
    refund = propose(credited, 5000)

    payout = send(refund)

    assert (payout.state, payout.reason_code, payout.next_poll_at) == ("failed", code, None)
    assert (state_of(refund), tap.sent) == ("approved", 1)
    refunds.cancel(refund.pk, reason="paid in cash", actor=MAKER, source=Source.ADMIN)
    refunds.record(credited.pk, amount=5000, way="cash", reason="cash", actor=MAKER, source=Source.ADMIN)
    assert broken() == []


def test_refusal_can_be_sent_again_by_the_second_person_only(credited: Payment, sandbox: RunningSandbox) -> None:
    sandbox.change(payouts_enabled=False)
    refund = propose(credited)
    assert send(refund).state == "failed"
    sandbox.change(payouts_enabled=True)

    assert code_of(lambda: send(refund, MAKER)) == "same_person"
    assert send(refund).state == "pending"
    assert code_of(lambda: send(refund, "3")) == "payout_open"
    assert broken() == []


def failed_lately_ago(payout: Payout, sandbox: RunningSandbox, clock: Clock) -> Payout:
    """FeexPay reported the failure of a payout eleven minutes ago, and no poll has asked it since."""
    sandbox.force(str(payout.gateway_reference), "FAILED", webhook=False)
    work_until_over(payout, clock)
    clock.advance(11 * 60)
    return payout


@pytest.mark.parametrize(("word", "state"), [("SUCCESSFUL", "recorded"), ("PENDING", "approved")])
def test_failed_payout_that_feexpay_pays_after_all_is_not_sent_again(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, clock: Clock, word: str, state: str
) -> None:
    before, refund = balance(sandbox), propose(credited)
    payout = failed_lately_ago(send(refund), sandbox, clock)
    sandbox.force(str(payout.gateway_reference), word, webhook=False)

    assert code_of(lambda: send(refund)) == "payout_open"

    assert (state_of(refund), tap.sent) == (state, 1)
    assert before - balance(sandbox) <= 2000
    assert broken() == []


def test_failed_payout_is_sent_again_only_after_feexpay_says_so_again(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, clock: Clock
) -> None:
    refund = propose(credited)
    failed_lately_ago(send(refund), sandbox, clock)
    tap.status = lambda reply: replace(reply, status=502)
    assert code_of(lambda: send(refund)) == "gateway_unavailable"
    tap.status = None

    assert send(refund).state == "pending"

    assert tap.sent == 2
    assert broken() == []


# --- what is never sent --------------------------------------------------------------------------------


def test_payout_needs_a_second_person_whatever_the_sum(credited: Payment, tap: Tap) -> None:
    refund = propose(credited, 50)

    assert code_of(lambda: send(refund, MAKER)) == "same_person"
    other = refunds.approve
    assert code_of(lambda: other(refund.pk, reason="x", actor=CHECKER, source=Source.ADMIN)) == "paid_by_payout"
    assert (tap.sent, Payout.objects.count(), state_of(refund)) == (0, 0, "proposed")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"PAYOUTS": False}, "payouts_off"),
        ({"amount": 49}, "amount_too_low"),
        ({"amount": 5001}, "too_much"),
        ({"erase": True}, "msisdn_erased"),
    ],
)
def test_payout_is_not_proposed_where_it_cannot_be_sent(
    credited: Payment, configure: Configure, tap: Tap, change: dict[str, Any], code: str
) -> None:
    configure(PAYOUTS=change.get("PAYOUTS", True))
    if change.get("erase"):
        credited.attempts.update(msisdn_sealed=None)

    assert code_of(lambda: propose(credited, change.get("amount", 2000))) == code
    assert (Refund.objects.count(), tap.sent) == (0, 0)


def test_payout_switched_off_after_its_proposal_is_not_sent(credited: Payment, configure: Configure, tap: Tap) -> None:
    refund = propose(credited)
    configure(PAYOUTS=False)

    assert code_of(lambda: send(refund)) == "payouts_off"
    assert (tap.sent, Payout.objects.count()) == (0, 0)


def test_payout_under_way_is_not_ended_by_another_sender(
    credited: Payment, configure: Configure, tap: Tap, sandbox: RunningSandbox
) -> None:
    """Another process finds the switch off while the request is under way: that proves nothing about the request."""

    def meanwhile(reply: WireReply) -> WireReply:
        configure(PAYOUTS=False)
        payouts.send(Payout.objects.get().pk, source=Source.WORKER)
        configure(PAYOUTS=True)
        return reply

    tap.answer = meanwhile

    payout = send(propose(credited))

    assert (payout.state, tap.sent) == ("pending", 1)


def test_host_transaction_sends_nothing(credited: Payment, tap: Tap) -> None:
    refund = propose(credited)
    with pytest.raises(InsideAtomicError), transaction.atomic():
        send(refund)
    assert (tap.sent, Payout.objects.count()) == (0, 0)


# --- an unknown outcome --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["truncate_percent", "html_502_percent", "error_500_percent", "rate_limit_percent"])
def test_unknown_outcome_is_never_sent_again(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, clock: Clock, fault: str
) -> None:
    sandbox.change(fault_calls="payout", **{fault: 100})
    refund = propose(credited)
    payout = send(refund)
    assert (payout.state, payout.gateway_reference, payout.next_poll_at) == ("unknown", None, None)
    sandbox.change(fault_calls="", **{fault: 0})

    for _ in range(5):
        clock.advance(86_400)
        work()

    payout.refresh_from_db()
    assert (payout.state, tap.sent) == ("unknown", 1)
    assert code_of(lambda: send(refund, "3")) == "payout_open"
    cancel = refunds.cancel
    assert code_of(lambda: cancel(refund.pk, reason="x", actor="3", source=Source.ADMIN)) == "payout_open"
    assert broken() == []


def test_unknown_payout_is_closed_as_paid_with_evidence_by_another_person(
    lost_payout: Payout, sandbox: RunningSandbox, signals: Recorder
) -> None:
    [row] = sandbox.payments(echo=str(lost_payout.pk))

    assert code_of(lambda: close(lost_payout, paid=True, reference=row["reference"], actor=CHECKER)) == "same_person"
    assert code_of(lambda: close(lost_payout, paid=True)) == "validation_error"
    close(lost_payout, paid=True, reference=row["reference"])
    assert code_of(lambda: close(lost_payout, paid=True, reference=row["reference"])) == "payout_not_unknown"

    lost_payout.refresh_from_db()
    assert (lost_payout.state, lost_payout.closed_by, lost_payout.evidence) == (
        "successful",
        MAKER,
        "The dashboard shows it",
    )
    assert (state_of(lost_payout.refund), lost_payout.refund.outside_reference) == ("recorded", row["reference"])
    outbox.deliver()
    assert signals.names().count("payment_refunded") == 1
    assert broken() == []


def test_unknown_payout_is_closed_as_not_paid_after_an_hour_only(lost_payout: Payout, clock: Clock, tap: Tap) -> None:
    assert code_of(lambda: close(lost_payout, paid=False)) == "too_soon"
    clock.advance(3601)
    close(lost_payout, paid=False)

    lost_payout.refresh_from_db()
    assert (lost_payout.state, state_of(lost_payout.refund), tap.sent) == ("failed", "approved", 1)
    assert send(lost_payout.refund).state == "pending"
    assert (Payout.objects.count(), broken()) == (2, [])


def test_request_that_never_left_is_sent_later_and_a_few_times_only(
    credited: Payment, sandbox: RunningSandbox, clock: Clock, tap: Tap
) -> None:
    tap.payouts_leave = False
    payout = send(propose(credited))
    assert (payout.state, payout.send_count) == ("created", 1)
    tap.payouts_leave = True

    assert work_until_over(payout, clock).state == "successful"

    assert (payout.send_count, len(sandbox.payments(echo=str(payout.pk)))) == (2, 1)


def test_payout_that_never_leaves_fails(credited: Payment, tap: Tap, clock: Clock) -> None:
    tap.payouts_leave = False
    payout = work_until_over(send(propose(credited)), clock)

    assert (payout.state, payout.reason_code, payout.send_count) == ("failed", "never_sent", payouts.MAX_SENDS)


# --- what FeexPay reports ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "doubt"),
    [
        ({"reference": "other-ref"}, "reference_mismatch"),
        ({"callback_info": "other"}, "echo_mismatch"),
        ({"callback_info": None}, "echo_mismatch"),
        ({"amount": 2001}, "amount_mismatch"),
        ({"amount": None}, "amount_mismatch"),
        ({"phoneNumber": "2290161000001"}, "msisdn_mismatch"),
    ],
)
def test_report_that_contradicts_the_payout_records_nothing(
    credited: Payment, tap: Tap, clock: Clock, fields: dict[str, Any], doubt: str
) -> None:
    payout = send(propose(credited))
    tap.status = lie(status="SUCCESSFUL", **fields)
    clock.advance(11)
    work()

    payout.refresh_from_db()
    assert (payout.state, payout.reason_code, state_of(payout.refund)) == ("unknown", doubt, "approved")
    assert payout.next_poll_at is not None
    assert broken() == []


def test_answer_that_says_paid_at_once_settles_nothing(credited: Payment, tap: Tap) -> None:
    tap.answer = lie(status="SUCCESSFUL")

    payout = send(propose(credited))

    assert (payout.state, state_of(payout.refund)) == ("pending", "approved")


def test_payout_without_a_decision_becomes_unknown_after_a_day_and_is_still_asked(
    credited: Payment, tap: Tap, clock: Clock
) -> None:
    payout = send(propose(credited))
    tap.status = lie(status="IN PENDING STATE")
    clock.advance(86_500)
    work()
    payout.refresh_from_db()
    assert (payout.state, payout.reason_code) == ("unknown", "not_decided")

    tap.status = None
    assert work_until_over(payout, clock).state == "successful"


def test_failure_frees_the_refund_after_ten_minutes_and_a_late_success_records_it(
    credited: Payment, tap: Tap, clock: Clock
) -> None:
    refund = propose(credited)
    payout = send(refund)
    tap.status = lie(status="FAILED", reason="Insufficient balance")
    clock.advance(11)
    work()
    payout.refresh_from_db()
    assert (payout.state, payout.reason_code) == ("failed", "low_balance")
    cancel = refunds.cancel
    assert code_of(lambda: cancel(refund.pk, reason="x", actor="3", source=Source.ADMIN)) == "payout_failed_lately"
    assert code_of(lambda: send(refund)) == "payout_failed_lately"

    tap.status = lie(status="SUCCESSFUL")
    clock.advance(61)
    work()

    payout.refresh_from_db()
    assert (payout.state, state_of(refund), broken()) == ("successful", "recorded", [])


def test_late_success_of_a_refund_that_was_cancelled_is_shown_by_verify(
    credited: Payment, tap: Tap, clock: Clock
) -> None:
    refund = propose(credited)
    payout = send(refund)
    tap.status = lie(status="FAILED")
    clock.advance(11)
    work()
    clock.advance(601)
    refunds.cancel(refund.pk, reason="paid in cash", actor=MAKER, source=Source.ADMIN)
    tap.status = lie(status="SUCCESSFUL")
    work()

    payout.refresh_from_db()
    assert (payout.state, state_of(refund)) == ("failed", "cancelled")
    assert payout.paid_after_failure_at is not None
    assert [problem.partition(":")[0] for problem in broken()] == [f"I24 payout {payout.pk}"]


def test_unanswered_question_changes_nothing(credited: Payment, sandbox: RunningSandbox, clock: Clock) -> None:
    payout = send(propose(credited))
    sandbox.change(fault_calls="payout", error_500_percent=100)
    clock.advance(11)
    work()

    payout.refresh_from_db()
    assert (payout.state, payout.poll_count) == ("pending", 1)


# --- races and kills -----------------------------------------------------------------------------------


class KilledError(BaseException):
    pass


def _kill() -> None:
    raise KilledError


@pytest.mark.parametrize(
    ("place", "state", "sent"),
    [("started", "pending", 1), ("before_send", "unknown", 0), ("after_send", "unknown", 1), ("sent", "successful", 1)],
)
def test_process_killed_between_commit_and_call_sends_once_at_most(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, clock: Clock, place: str, state: str, sent: int
) -> None:
    refund = propose(credited)
    with failpoints.arm(place, _kill), suppress(KilledError):
        send(refund)
    payout = Payout.objects.get()
    if place == "sent":
        wait_until(lambda: sandbox.payments(echo=str(payout.pk))[0]["status"] == "SUCCESSFUL")

    clock.advance(50)
    work()
    payout.refresh_from_db()

    assert (payout.state, tap.sent) == (state, sent)
    assert broken() == []


@pytest.mark.postgres_only
def test_two_approvers_at_once_send_one_payout(credited: Payment, tap: Tap) -> None:
    refund = propose(credited)

    results = at_once(4, lambda number: send(refund, str(number + 2)))

    assert tap.sent == Payout.objects.count() == 1
    assert sorted(type(result).__name__ for result in results) == ["NotAllowedError"] * 3 + ["Payout"]
    assert broken() == []


@pytest.mark.postgres_only
def test_workers_and_the_admin_at_once_send_and_record_once(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, clock: Clock
) -> None:
    refund = propose(credited)
    with failpoints.arm("started", _kill), suppress(KilledError):
        send(refund)
    payout = Payout.objects.get()
    clock.advance(50)

    at_once(4, lambda number: work() if number else payouts.send(payout.pk, source=Source.ADMIN))
    assert tap.sent == 1
    wait_until(lambda: sandbox.payments(echo=str(payout.pk))[0]["status"] == "SUCCESSFUL")
    clock.advance(20)
    at_once(4, lambda number: payout_polls.ask(payout.pk, source=Source.ADMIN))

    assert (Payout.objects.get().state, state_of(refund)) == ("successful", "recorded")
    assert OutboxMessage.objects.filter(signal="payment_refunded").count() == 1
    assert PayoutEvent.objects.filter(to_state="successful").count() == 1
    assert broken() == []


@pytest.mark.postgres_only
def test_database_refuses_a_second_payout_and_one_person_and_a_change_of_a_paid_one(
    credited: Payment, clock: Clock
) -> None:
    payout = send(propose(credited))
    twin = {field.attname: getattr(payout, field.attname) for field in Payout._meta.concrete_fields}
    twin |= {"id": None, "gateway_reference": None}
    twin.pop("id")
    with pytest.raises(IntegrityError, match="feexpay_one_payout"):
        Payout.objects.create(**twin)
    with pytest.raises(IntegrityError, match="feexpay_payout_two_persons"):
        Payout.objects.create(**{**twin, "state": "failed", "approved_by": payout.proposed_by})
    work_until_over(payout, clock)
    for statement in (
        "UPDATE feexpay_payout SET amount = 1",
        "DELETE FROM feexpay_payoutevent",
        "UPDATE feexpay_refund SET amount = 1",
    ):
        with pytest.raises(Error), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.parametrize("break_it", ["approved_by", "amount", "recorded"])
def test_verify_finds_a_payout_that_breaks_the_rule(credited: Payment, break_it: str) -> None:
    payout = send(propose(credited))
    if break_it == "amount":
        Payout.objects.update(amount=1)
    elif break_it == "recorded":
        Refund.objects.update(state="recorded", recorded_at=conf.now(), event_id=payout.pk)
    else:
        Payout.objects.update(proposed_by="9")

    assert [problem for problem in broken() if problem.startswith("I24")]
