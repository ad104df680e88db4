"""Bring a payment to the end that a test wants, the way it would get there: FeexPay says so, and is asked."""

from __future__ import annotations

from typing import Any

from django_feexpay import conf
from django_feexpay.background import worker
from django_feexpay.lifecycle import PublicStatus
from django_feexpay.models import Payment
from django_feexpay.payments import leases, outbox
from django_feexpay.python_api import reconcile_payment
from django_feexpay.testing.running import RunningSandbox

#: More than any test has due at once.
_MOST_DUE = 500

#: What a test may want: FeexPay's status and reason.
OUTCOMES = {
    "successful": ("SUCCESSFUL", None),
    "failed": ("FAILED", "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED"),
    "declined": ("FAILED", "APPROVAL_REJECTED"),
    "expired": ("FAILED", "EXPIRED"),
}

_LINK_CHOICES = {"successful": "pay", "failed": "fail", "declined": "cancel", "expired": "fail"}


def work() -> int:
    """The worker's round, in this thread and on its connection, so that it sees what an open test transaction wrote:
    send what is queued, ask about what is due, deliver signals. How many attempts were due.
    """
    claims = leases.claim_due(_MOST_DUE, unsent=True) + leases.claim_due(_MOST_DUE, unsent=False)
    for held in claims:
        worker.advance(held)
    outbox.deliver()
    return len(claims)


def settle(sandbox: RunningSandbox, payment: Payment, outcome: str = "successful") -> Payment:
    """The payment, told by FeexPay to be `successful`, `failed`, `declined` or `expired`, and every receiver called.

    Raises ValueError for another outcome, AssertionError where the payment cannot come to it: never sent, refused
    at once, or settled otherwise before.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"{outcome!r} is none of {', '.join(OUTCOMES)}")
    work()  # what was queued is at FeexPay after this
    _end(sandbox, payment, outcome)
    reconcile_payment(payment.pk)
    payment.refresh_from_db()
    if outcome != "successful" and payment.public_status is PublicStatus.PENDING:
        # On an open page the payer may still take another card: the failure is one when its time is over.
        with conf.use_clock(lambda: payment.attempt.expires_at):
            reconcile_payment(payment.pk)
    outbox.deliver()
    payment.refresh_from_db()
    wanted = "successful" if outcome == "successful" else "failed"
    told = payment.public_status.value
    assert told == wanted, f"the payment is {told} ({payment.status}), not {outcome}"
    return payment


def _end(sandbox: RunningSandbox, payment: Payment, outcome: str) -> None:
    echo = str(payment.attempt.pk)
    found = sandbox.payments(echo)
    if found:
        reference = str(found[0]["reference"])
        _force(sandbox, reference, *OUTCOMES[outcome])
        return
    links = sandbox.links(echo)
    assert links, f"FeexPay was never asked for it: the payment is {payment.status}"
    sandbox.play_link(links[0]["code"], _LINK_CHOICES[outcome])


def _force(sandbox: RunningSandbox, reference: str, status: str, reason: str | None) -> None:
    wishes: dict[str, Any] = {"webhook": False}
    sandbox.force(reference, status, **(wishes if reason is None else wishes | {"reason": reason}))
