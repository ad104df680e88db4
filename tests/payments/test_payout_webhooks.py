"""A webhook about a payout makes it due at once, and proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Payment, Payout, WebhookDelivery
from django_feexpay.payments import outbox, payout_polls
from django_feexpay.private import PrivateBytes
from tests.payments.fakes import Clock, Recorder
from tests.payments.paying_out import (
    Tap,
    broken,
    lie,
    post_payout_webhook,
    propose,
    send,
    state_of,
    work,
)
from tests.payments.test_over_the_socket import wait_until
from tests.sandbox.running import RunningSandbox

pytestmark = pytest.mark.django_db(transaction=True)


def test_webhook_makes_a_payout_due_at_once_and_its_claim_decides_nothing(
    credited: Payment, tap: Tap, sandbox: RunningSandbox, clock: Clock
) -> None:
    payout = send(propose(credited))
    [row] = sandbox.payments(echo=str(payout.pk))
    assert payout_polls.claim_due(50) == []

    for claim in ("SUCCESSFUL", "FAILED"):
        post_payout_webhook(row["reference"].lower(), status=claim)

    payout.refresh_from_db()
    assert (payout.state, tap.asked, payout.deliveries.count()) == ("pending", 0, 2)
    assert not WebhookDelivery.objects.unmatched().exists()
    wait_until(lambda: sandbox.payments(echo=str(payout.pk))[0]["status"] == "SUCCESSFUL")
    work()
    payout.refresh_from_db()
    assert (payout.state, state_of(payout.refund), tap.asked) == ("successful", "recorded", 1)
    post_payout_webhook(row["reference"])
    assert payout_polls.claim_due(50) == []
    assert broken() == []


def test_flood_of_webhooks_polls_a_payout_once_in_ten_seconds(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, clock: Clock
) -> None:
    tap.status = lie(status="PENDING")
    payout = send(propose(credited))
    payout_reference = str(payout.gateway_reference)
    for number in range(20):
        post_payout_webhook(payout_reference, status=f"S{number}")
        work()
    assert tap.asked == 1
    clock.advance(10)
    work()
    assert tap.asked == 2


def test_webhook_that_overtakes_the_answer_makes_the_payout_due(
    credited: Payment, sandbox: RunningSandbox, tap: Tap
) -> None:
    def meanwhile(reply: WireReply) -> WireReply:
        post_payout_webhook(json.loads(reply.body)["reference"])
        assert WebhookDelivery.objects.unmatched().count() == 1
        return reply

    tap.answer = meanwhile
    payout = send(propose(credited))

    assert (payout.state, WebhookDelivery.objects.get().payout_id) == ("pending", payout.pk)
    assert [held.payout_id for held in payout_polls.claim_due(50)] == [payout.pk]


def test_lost_answer_is_settled_by_asking_about_the_reference_that_a_webhook_names(
    lost_payout: Payout, sandbox: RunningSandbox, tap: Tap, signals: Recorder, clock: Clock
) -> None:
    """The webhook proves nothing: FeexPay's report must echo the payout's id."""
    [row] = sandbox.payments(echo=str(lost_payout.pk))
    wait_until(lambda: sandbox.payments(echo=str(lost_payout.pk))[0]["status"] == "SUCCESSFUL")
    post_payout_webhook(str(lost_payout.payment.attempt.gateway_reference) + "-forged", echo=str(lost_payout.pk))
    work()
    lost_payout.refresh_from_db()
    assert (lost_payout.state, lost_payout.gateway_reference) == ("unknown", None)

    clock.advance(10)
    post_payout_webhook(row["reference"], echo=str(lost_payout.pk))
    work()

    lost_payout.refresh_from_db()
    assert (lost_payout.state, lost_payout.gateway_reference, tap.sent) == ("successful", row["reference"], 1)
    assert state_of(lost_payout.refund) == "recorded"
    outbox.deliver()
    assert signals.names().count("payment_refunded") == 1
    assert broken() == []


def lose(reply: WireReply) -> WireReply:
    return replace(reply, body=PrivateBytes(reply.body[:20]))


def refuse(reply: WireReply) -> WireReply:
    body = {"statusCode": 400, "message": "Insufficient balance", "code": "ERR_INSUFFICIENT_BALANCE"}
    return replace(reply, status=400, body=PrivateBytes(json.dumps(body).encode()))


@pytest.mark.parametrize(("answer", "state"), [(lose, "unknown"), (refuse, "failed")])
def test_webhook_that_overtakes_a_lost_answer_or_a_refusal_is_asked_about(
    credited: Payment, sandbox: RunningSandbox, tap: Tap, answer: Callable[[WireReply], WireReply], state: str
) -> None:
    """FeexPay pays in either case."""

    def meanwhile(reply: WireReply) -> WireReply:
        post_payout_webhook(json.loads(reply.body)["reference"], echo=str(Payout.objects.get().pk))
        return answer(reply)

    tap.answer = meanwhile
    payout = send(propose(credited))
    assert payout.state == state

    wait_until(lambda: sandbox.payments(echo=str(payout.pk))[0]["status"] == "SUCCESSFUL")
    work()

    payout.refresh_from_db()
    assert (payout.state, state_of(payout.refund), tap.sent) == ("successful", "recorded", 1)
    assert broken() == []
