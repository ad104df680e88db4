"""Before a payout FeexPay is asked: about the charge, which it may have taken back, and about earlier payouts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Incident, Payment, Payout
from django_feexpay.payments import incidents, outbox
from django_feexpay.private import PrivateBytes
from tests.payments.fakes import Recorder
from tests.payments.paying_out import (
    Tap,
    balance,
    broken,
    code_of,
    post_payout_webhook,
    propose,
    send,
    state_of,
)
from tests.sandbox.running import RunningSandbox

pytestmark = pytest.mark.django_db(transaction=True)


def test_charge_that_feexpay_took_back_meanwhile_is_not_paid_out(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, signals: Recorder
) -> None:
    """The refund was proposed before, and no webhook named the reversal."""
    sandbox.change(opening_balance=5000)  # of the shop's other payments
    refund = propose(credited, 5000)
    sandbox.force(str(credited.attempt.gateway_reference), "FAILED", webhook=False)
    before = balance(sandbox)

    assert code_of(lambda: send(refund)) == "taken_back"
    outbox.deliver()

    assert (tap.sent, Payout.objects.count(), balance(sandbox)) == (0, 0, before)
    assert (Incident.objects.get().kind, state_of(refund)) == ("reversed_after_credit", "proposed")
    assert signals.names().count("payment_reversed") == 1
    assert broken() == []


def test_second_charge_that_feexpay_took_back_is_not_paid_out(
    credited: Payment, sandbox: RunningSandbox, tap: Tap
) -> None:
    sandbox.change(opening_balance=5000)
    charge = incidents.Charge("second-1", 5000, "XOF", str(credited.attempt.gateway_reference))
    incidents.open_once(Incident.Kind.DUPLICATE_CHARGE, credited.attempt, charge, credited.created_at)
    refund = propose(credited, 5000, incident_id=Incident.objects.get().pk)
    status = json.dumps({"reference": "second-1", "status": "REFUNDED", "amount": 5000}).encode()
    tap.charge_status = lambda reply: replace(reply, status=200, body=PrivateBytes(status))

    assert code_of(lambda: send(refund)) == "taken_back"

    assert (tap.sent, Payout.objects.count(), Incident.objects.count()) == (0, 0, 1)


def test_nothing_is_paid_out_while_feexpay_does_not_answer_about_the_charge(credited: Payment, tap: Tap) -> None:
    refund = propose(credited)
    tap.charge_status = lambda reply: replace(reply, status=502)
    assert code_of(lambda: send(refund)) == "gateway_unavailable"
    tap.charge_status = None

    assert send(refund).state == "pending"
    assert tap.sent == 1


def test_refused_payout_that_a_webhook_names_is_asked_about_before_another_is_sent(
    credited: Payment, sandbox: RunningSandbox, tap: Tap
) -> None:
    """FeexPay refuses the payout and pays it all the same; no worker has asked about the webhook yet."""
    seen: list[str] = []

    def refuse(reply: WireReply) -> WireReply:
        seen.append(json.loads(reply.body)["reference"])
        body = {"statusCode": 400, "code": "ERR_INSUFFICIENT_BALANCE", "message": "Insufficient balance"}
        return replace(reply, status=400, body=PrivateBytes(json.dumps(body).encode()))

    tap.answer = refuse
    refund = propose(credited)
    payout = send(refund)
    assert (payout.state, payout.gateway_reference) == ("failed", None)
    tap.answer = None
    sandbox.force(seen[0], "SUCCESSFUL", webhook=False)
    post_payout_webhook(seen[0], str(payout.pk))

    assert code_of(lambda: send(refund)) == "payout_open"

    assert (tap.sent, state_of(refund)) == (1, "recorded")
    assert broken() == []
