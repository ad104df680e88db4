"""Payouts over the socket of the sandbox: what the tests of payouts share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from django_feexpay import conf
from django_feexpay.background import worker
from django_feexpay.gateway.transport import HttpTransport, WireReply, WireRequest
from django_feexpay.models import Payment, Payout, Refund
from django_feexpay.payments import payout_polls, payouts, refunds
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.private import PrivateBytes
from tests.payments.conftest import Begin
from tests.payments.fakes import Clock, sweep_until_final
from tests.payments.test_over_the_socket import status_at_sandbox, wait_until
from tests.sandbox.running import RunningSandbox
from tests.webhooks.webhook_requests import delivery, post_webhook

MAKER, CHECKER = "1", "2"


class Tap:
    """A transport over the socket that counts payouts and may change what comes back, after FeexPay has acted.

    payouts_leave: False sends payouts to a port without a listener.
    """

    def __init__(self) -> None:
        self.inner = HttpTransport()
        self.sent = 0
        self.asked = 0
        self.payouts_leave = True
        self.answer: Callable[[WireReply], WireReply] | None = None
        self.status: Callable[[WireReply], WireReply] | None = None
        self.charge_status: Callable[[WireReply], WireReply] | None = None

    def exchange(self, request: WireRequest) -> WireReply:
        is_payout = "/payouts/public/" in request.url
        is_status = "/payouts/status/" in request.url
        self.sent += is_payout
        self.asked += is_status
        if is_payout and not self.payouts_leave:
            request = replace(request, url="http://127.0.0.1:9/api")  # nothing listens there
        reply = self.inner.exchange(request)
        change = self.answer if is_payout else self.status if is_status else None
        if "/single/status/" in request.url:
            change = self.charge_status
        return change(reply) if change else reply


def credit(begin: Begin, sandbox: RunningSandbox, clock: Clock) -> Payment:
    """A payment of 5 000 F CFA, credited at the sandbox."""
    payment = begin(merchant_reference="order-7", phone_ending="00")
    wait_until(lambda: status_at_sandbox(sandbox, payment) == "SUCCESSFUL")
    sweep_until_final(payment, clock)
    assert payment.status == "successful"
    return payment


def propose(payment: Payment, amount: int = 2000, **more: Any) -> Refund:
    values: dict[str, Any] = {"way": "payout", "reason": "ticket 7", "actor": MAKER, "source": Source.ADMIN}
    return refunds.record(payment.pk, amount=amount, **(values | more))


def send(refund: Refund, actor: str = CHECKER) -> Payout:
    return payouts.approve_and_send(refund.pk, reason="checked", actor=actor, source=Source.ADMIN)


def close(payout: Payout, *, paid: bool, reference: str = "", actor: str = MAKER) -> None:
    payouts.close(
        payout.pk,
        paid=paid,
        outside_reference=reference,
        evidence="The dashboard shows it",
        reason="asked support",
        actor=actor,
        source=Source.ADMIN,
    )


def work() -> None:
    """One round of the worker for payouts, in this thread."""
    for held in payout_polls.claim_due(50):
        worker.advance_payout(held)


def work_until_over(payout: Payout, clock: Clock) -> Payout:
    for _ in range(60):
        payout.refresh_from_db()
        if payout.state in ("successful", "failed"):
            return payout
        assert payout.next_poll_at is not None, payout.state
        clock.advance_to(payout.next_poll_at)
        time.sleep(0.02)
        work()
    raise AssertionError(payout.state)


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(NotAllowedError) as caught:
        call()
    return caught.value.code


def balance(sandbox: RunningSandbox) -> int:
    return conf.gateway().balance()["MTN"]


def broken() -> list[str]:
    return [str(violation) for violation in violations(["I20", "I21", "I22", "I24"])]


def state_of(refund: Refund) -> str:
    refund.refresh_from_db()
    return str(refund.state)


def post_payout_webhook(reference: str, echo: str = "", status: str = "SUCCESSFUL") -> None:
    body = delivery(reference, status, type="Payout", callback_info=echo)
    assert post_webhook(body).status_code == 200


def lose(credited: Payment, sandbox: RunningSandbox) -> Payout:
    """A payout that FeexPay has and whose answer was lost."""
    sandbox.change(fault_calls="payout", truncate_percent=100)
    payout = send(propose(credited))
    sandbox.change(fault_calls="", truncate_percent=0)
    assert payout.state == "unknown"
    return payout


def lie(**fields: Any) -> Callable[[WireReply], WireReply]:
    def change(reply: WireReply) -> WireReply:
        body = {**json.loads(reply.body), **fields}
        return replace(reply, body=PrivateBytes(json.dumps(body).encode()))

    return change
