"""A payout that FeexPay paid and undid later: confirmed by asking, an incident for staff, never paid twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import Error

from django_feexpay import conf, exports
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Incident, OutboxMessage, Payment, Payout, PayoutState, Refund, StaffAction
from django_feexpay.payments import (
    incidents,
    order_release,
    outbox,
    payout_polls,
    refunds,
    statements,
    webhook_hints,
)
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.private import PrivateBytes
from tests.payments.fakes import Clock, Recorder
from tests.payments.paying_out import (
    CHECKER,
    MAKER,
    Tap,
    close,
    code_of,
    lie,
    lose,
    post_payout_webhook,
    propose,
    send,
    state_of,
    work,
    work_until_over,
)
from tests.payments.threads import at_once
from tests.sandbox.running import RunningSandbox

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = ["FAILED", "REVERSED", "REFUNDED", "CANCELLED", " reversed "]


@pytest.fixture
def paid(credited: Payment, tap: Tap, clock: Clock) -> Payout:
    """A payout of 2 000 F CFA that FeexPay paid."""
    payout = work_until_over(send(propose(credited)), clock)
    assert payout.state == "successful"
    clock.advance(60)
    tap.asked = 0
    return payout


@pytest.fixture(autouse=True)
def every_invariant_holds(credited: Payment) -> Iterator[None]:
    yield
    assert list(violations()) == []


def undo(tap: Tap, word: str = "FAILED") -> None:
    tap.status = lie(status=word)


def undone() -> Incident:
    return Incident.objects.get(kind="payout_undone")


def refund_again(payment: Payment, incident: Incident, **more: object) -> Refund:
    values: dict[str, object] = {"amount": 2000, "way": "cash", "reason": "paid again", "actor": MAKER}
    return refunds.record(payment.pk, incident_id=incident.pk, source=Source.ADMIN, **(values | more))  # type: ignore[arg-type]


# --- how it is found -----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", WORDS)
def test_webhook_about_an_undone_payout_leads_to_an_incident(
    paid: Payout, credited: Payment, tap: Tap, clock: Clock, signals: Recorder, word: str
) -> None:
    undo(tap, word)
    reference = str(paid.gateway_reference)

    post_payout_webhook(reference, status=word)
    assert Incident.objects.count() == 0
    work()
    outbox.deliver()

    incident = undone()
    assert (incident.payout, incident.amount, incident.currency, incident.closed_at) == (paid, 2000, "XOF", None)
    assert (incident.gateway_reference, incident.credited_reference) == (
        reference,
        credited.attempt.gateway_reference,
    )
    assert signals.names().count("payout_undone") == 1
    paid.refresh_from_db()
    assert (paid.state, state_of(paid.refund), tap.sent, tap.asked) == ("successful", "recorded", 1, 1)
    assert paid.next_poll_at is None


@pytest.mark.parametrize("word", ["FAILED", "REVERSED"])
def test_webhook_that_feexpay_does_not_confirm_opens_nothing(paid: Payout, tap: Tap, word: str) -> None:
    post_payout_webhook(str(paid.gateway_reference), status=word)
    work()

    assert (tap.asked, Incident.objects.count()) == (1, 0)


def test_other_webhooks_about_a_paid_payout_ask_nothing(paid: Payout, tap: Tap) -> None:
    for word in ("SUCCESSFUL", "PENDING", "ON HOLD"):
        post_payout_webhook(str(paid.gateway_reference), status=word)
        work()

    assert tap.asked == 0


@pytest.mark.parametrize(
    "lies",
    [{"reference": "ref-9999"}, {"callback_info": "another"}, {"phoneNumber": "2290161000051"}, {"status": "PENDING"}],
    ids=str,
)
def test_report_that_is_about_another_payout_opens_nothing(paid: Payout, tap: Tap, lies: dict[str, str]) -> None:
    tap.status = lie(**({"status": "FAILED"} | lies))
    post_payout_webhook(str(paid.gateway_reference), status="FAILED")
    work()

    assert (tap.asked, Incident.objects.count()) == (1, 0)


def test_paid_payout_is_polled_without_a_webhook(paid: Payout, tap: Tap, clock: Clock) -> None:
    """After an hour, a day and a week; then never."""
    paid.refresh_from_db()
    assert paid.ended_at is not None
    asked_after = []
    for _ in range(10):
        paid.refresh_from_db()
        if paid.next_poll_at is None:
            break
        asked_after.append(paid.next_poll_at - paid.ended_at)
        clock.advance_to(paid.next_poll_at)
        work()
    assert [round(after.total_seconds() / 3600) for after in asked_after] == [1, 24, 7 * 24]
    assert Incident.objects.count() == 0


def test_poll_without_a_webhook_opens_the_incident(paid: Payout, tap: Tap, clock: Clock) -> None:
    undo(tap)
    paid.refresh_from_db()
    assert paid.next_poll_at is not None
    clock.advance_to(paid.next_poll_at)

    work()

    assert undone().payout == paid


def test_question_without_an_answer_is_asked_again(paid: Payout, tap: Tap, clock: Clock) -> None:
    tap.status = lambda reply: replace(reply, status=502)
    post_payout_webhook(str(paid.gateway_reference), status="FAILED")
    work()
    assert Incident.objects.count() == 0

    undo(tap)
    clock.advance(15 * 60)
    work()

    assert undone().payout == paid


def test_webhook_during_the_poll_that_pays_causes_another_poll(
    credited: Payment, tap: Tap, clock: Clock, sandbox: RunningSandbox
) -> None:
    payout = send(propose(credited))

    def meanwhile(reply: WireReply) -> WireReply:
        if json.loads(reply.body)["status"] == "SUCCESSFUL":
            post_payout_webhook(str(payout.gateway_reference), status="FAILED")
            undo(tap)
        return reply

    tap.status = meanwhile
    work_until_over(payout, clock)
    clock.advance(10)
    work()

    assert undone().payout == payout


def test_payout_that_staff_closed_as_paid_can_be_undone(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, clock: Clock
) -> None:
    payout = lose(credited, sandbox)
    [row] = sandbox.payments(echo=str(payout.pk))
    close(payout, paid=True, reference=row["reference"])
    undo(tap)

    post_payout_webhook(row["reference"], status="FAILED")
    work()

    assert undone().payout == payout


def test_two_answers_at_once_open_one_incident(paid: Payout, tap: Tap, signals: Recorder) -> None:
    undo(tap)

    at_once(4, lambda _number: payout_polls.ask(paid.pk, source=Source.WORKER))
    outbox.deliver()

    assert undone().payout == paid
    assert signals.names().count("payout_undone") == 1


def test_webhook_about_a_paid_payout_can_be_processed_again(paid: Payout, tap: Tap) -> None:
    post_payout_webhook(str(paid.gateway_reference), status="SUCCESSFUL")
    undo(tap)

    delivery = paid.deliveries.get()
    webhook_hints.process_again(delivery.pk, reason="the payer asks", actor=MAKER, source=Source.ADMIN)
    work()

    assert undone().payout == paid


# --- what staff do -------------------------------------------------------------------------------------


@pytest.fixture
def incident(paid: Payout, tap: Tap) -> Incident:
    undo(tap)
    payout_polls.ask(paid.pk, source=Source.WORKER)
    return undone()


def test_undone_payout_is_paid_back_another_way_and_closed(credited: Payment, incident: Incident) -> None:
    charge = refunds.charge_of(credited.pk, incident.pk)
    assert (charge.credited, charge.taken, charge.owed) == (False, 2000, 2000)
    assert refunds.charge_of(credited.pk).recorded == 2000  # the first refund stays recorded
    arguments = {"resolution": "refunded", "actor": MAKER, "source": Source.ADMIN}
    assert code_of(lambda: incidents.close(incident.pk, "paid", **arguments)) == "not_refunded"
    assert code_of(lambda: refund_again(credited, incident, amount=2001)) == "too_much"

    refund_again(credited, incident)

    assert incidents.close(incident.pk, "paid in cash", **arguments)
    assert refunds.charge_of(credited.pk, incident.pk).owed == 0


def test_second_payout_needs_two_persons_and_that_feexpay_still_says_it(
    credited: Payment, paid: Payout, incident: Incident, tap: Tap, clock: Clock
) -> None:
    refund = refund_again(credited, incident, way="payout")
    work()
    assert (tap.sent, refund.state) == (1, "proposed")
    assert code_of(lambda: send(refund, MAKER)) == "same_person"
    assert tap.sent == 1

    again = send(refund, CHECKER)
    assert (again.state, tap.sent) == ("pending", 2)
    tap.status = None
    work_until_over(again, clock)
    assert state_of(refund) == "recorded"


@pytest.mark.parametrize(("status", "code"), [(200, "payout_open"), (502, "gateway_unavailable")])
def test_second_payout_is_refused_if_feexpay_says_paid_again_or_nothing(
    credited: Payment, incident: Incident, tap: Tap, status: int, code: str
) -> None:
    refund = refund_again(credited, incident, way="payout")
    tap.status = lambda reply: replace(reply, status=status)

    assert code_of(lambda: send(refund)) == code

    assert (tap.sent, state_of(refund)) == (1, "proposed")


def test_second_payout_is_refused_if_the_charge_was_taken_back(
    credited: Payment, incident: Incident, tap: Tap, sandbox: RunningSandbox
) -> None:
    refund = refund_again(credited, incident, way="payout")
    status = json.dumps(
        {"reference": credited.attempt.gateway_reference, "status": "REVERSED", "amount": 5000}
    ).encode()
    tap.charge_status = lambda reply: replace(reply, body=PrivateBytes(status))

    assert code_of(lambda: send(refund)) == "taken_back"

    assert tap.sent == 1


def test_incident_without_a_loss_opens_again_if_feexpay_confirms_it_again(
    paid: Payout, incident: Incident, tap: Tap, clock: Clock, signals: Recorder
) -> None:
    incidents.close(incident.pk, "the payer has it", resolution="no_money_lost", actor=MAKER, source=Source.ADMIN)
    clock.advance(8 * 86_400)
    work()
    incident.refresh_from_db()
    assert incident.closed_at is not None  # no poll without a new webhook

    post_payout_webhook(str(paid.gateway_reference), status="FAILED")
    work()
    outbox.deliver()

    incident.refresh_from_db()
    assert (incident.closed_at, incident.resolution) == (None, "")
    assert OutboxMessage.objects.filter(signal="payout_undone").count() == 1
    assert StaffAction.objects.filter(action="close_incident").count() == 1


def test_undone_payout_keeps_its_order_blocked(credited: Payment, clock: Clock, tap: Tap) -> None:
    payout = work_until_over(send(propose(credited, 5000)), clock)
    assert order_release.may_be_released(credited)
    undo(tap)
    payout_polls.ask(payout.pk, source=Source.WORKER)

    assert not order_release.may_be_released(credited)


def test_payout_of_an_undone_payout_can_be_undone_too(
    credited: Payment, incident: Incident, tap: Tap, clock: Clock
) -> None:
    refund = refund_again(credited, incident, way="payout")
    second = send(refund)
    tap.status = None
    work_until_over(second, clock)
    undo(tap)
    payout_polls.ask(second.pk, source=Source.WORKER)

    assert {each.payout_id for each in Incident.objects.all()} == {incident.payout_id, second.pk}
    assert Payout.objects.filter(state=PayoutState.SUCCESSFUL).count() == 2


# --- what the figures show -----------------------------------------------------------------------------


def test_statement_and_export_count_the_undone_payout_as_not_refunded(
    credited: Payment, incident: Incident, clock: Clock
) -> None:
    def refunds_shown() -> tuple[int, int, int]:
        today = clock.at.date()
        [section] = statements.make(statements.Period(today - timedelta(days=2), today)).sections
        [refunded] = Payment.objects.annotate(refunded=exports.refunded_sum()).values_list("refunded", flat=True)
        return section.total.refunds, section.total.net, refunded

    net = credited.charged_amount - credited.fee
    assert refunds_shown() == (0, net, 0)
    refund_again(credited, incident)
    assert refunds_shown() == (2000, net - 2000, 2000)


def test_incident_without_a_loss_leaves_the_figures_as_they_were(
    credited: Payment, incident: Incident, clock: Clock
) -> None:
    incidents.close(incident.pk, "the payer has it", resolution="no_money_lost", actor=MAKER, source=Source.ADMIN)

    today = clock.at.date()
    [section] = statements.make(statements.Period(today - timedelta(days=2), today)).sections
    assert section.total.refunds == 2000
    assert Payment.objects.annotate(refunded=exports.refunded_sum()).get().refunded == 2000  # type: ignore[attr-defined]


@pytest.mark.postgres_only
def test_database_lets_only_the_polls_of_a_paid_payout_change(paid: Payout) -> None:
    Payout.objects.filter(pk=paid.pk).update(next_poll_at=None, last_polled_at=None, poll_count=9)
    for change in ({"amount": 1}, {"state": "failed"}, {"state": "failed", "next_poll_at": conf.now()}):
        with pytest.raises(Error, match="paid ones as they are"):
            Payout.objects.filter(pk=paid.pk).update(**change)


def test_incident_of_no_paid_payout_is_reported(credited: Payment, paid: Payout) -> None:
    row = Incident.objects.create(
        kind="payout_undone", payment=credited, attempt=credited.attempt, amount=1, currency="XOF", opened_at=conf.now()
    )
    OutboxMessage.objects.create(
        payment=credited, signal="payout_undone", created_at=conf.now(), next_delivery_at=conf.now()
    )

    assert [str(each) for each in violations(["I24"])] != []

    row.delete()
    OutboxMessage.objects.filter(signal="payout_undone").delete()
