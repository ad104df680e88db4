"""Settle a payment, run the worker and post a webhook, in a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.test import override_settings

from django_feexpay import conf, sample_webhooks
from django_feexpay.background import worker
from django_feexpay.lifecycle import PublicStatus, Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.payments import leases, outbox
from django_feexpay.python_api import reconcile_payment
from django_feexpay.testing.running import RunningSandbox

#: More attempts than any test has due at once.
_MAX_DUE = 500

#: FeexPay's status and reason for each outcome a test may ask for.
OUTCOMES = {
    "successful": ("SUCCESSFUL", None),
    "failed": ("FAILED", "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED"),
    "declined": ("FAILED", "APPROVAL_REJECTED"),
    "expired": ("FAILED", "EXPIRED"),
}

_LINK_CHOICES = {"successful": "pay", "failed": "fail", "declined": "cancel", "expired": "fail"}


@contextmanager
def use_sandbox(sandbox: RunningSandbox) -> Iterator[None]:
    """Empty the sandbox and point FEEXPAY at it, without a limit of prompts per phone, until the block ends."""
    sandbox.reset()
    own = getattr(settings, "FEEXPAY", {})
    with override_settings(FEEXPAY={**own, **sandbox.feexpay, "PROMPTS_PER_PHONE": 0}):
        yield


def work(sandbox: RunningSandbox) -> int:
    """Do at once what the worker does in the next minutes; return how many attempts it sent or asked FeexPay about.

    It sends what is queued, lets the sandbox's payers decide by their magic numbers, asks FeexPay about every attempt
    that has a poll planned, now or later, and delivers signals. It runs in the test's thread and on its connection, so
    that it sees the rows of an open test transaction.
    """
    sent = _send_queued()
    sandbox.run_scripts()
    planned = Attempt.objects.filter(next_poll_at__isnull=False)
    planned.exclude(status__in=[Status.CREATED, Status.SENDING]).update(next_poll_at=conf.now())
    polled = _advance(leases.claim_due(_MAX_DUE, unsent=False))
    outbox.deliver()
    return sent + polled


def settle(sandbox: RunningSandbox, payment: Payment, outcome: str = "successful") -> Payment:
    """Let FeexPay report `successful`, `failed`, `declined` or `expired`, settle by it and deliver the signals.

    Raises: ValueError for another outcome; AssertionError when the payment cannot get this outcome, because it was
    never sent, was refused at once, or is settled already.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"{outcome!r} is none of {', '.join(OUTCOMES)}")
    _send_queued()
    _report(sandbox, payment, outcome)
    reconcile_payment(payment.pk)
    payment.refresh_from_db()
    if outcome != "successful" and payment.public_status is PublicStatus.PENDING:
        # The payer of a hosted page may try another card until the page expires: only then has the payment failed.
        with conf.use_clock(lambda: payment.attempt.expires_at):
            reconcile_payment(payment.pk)
    outbox.deliver()
    payment.refresh_from_db()
    expected = "successful" if outcome == "successful" else "failed"
    status = payment.public_status.value
    assert status == expected, f"the payment is {status} ({payment.status}), not {outcome}"
    return payment


def post_webhook(payment: Payment, event: str = "successful") -> int:
    """Post the webhooks of an event to the project's own address, in this process; the HTTP code of the last answer."""
    return [sample_webhooks.post(delivery) for delivery in sample_webhooks.deliveries(payment.attempt, event)][-1]


def _send_queued() -> int:
    return _advance(leases.claim_due(_MAX_DUE, unsent=True))


def _advance(claims: Sequence[leases.Claim]) -> int:
    for claim in claims:
        worker.advance(claim)
    return len(claims)


def _report(sandbox: RunningSandbox, payment: Payment, outcome: str) -> None:
    echo = str(payment.attempt.pk)
    found = sandbox.payments(echo)
    if found:
        status, reason = OUTCOMES[outcome]
        extra = {} if reason is None else {"reason": reason}
        sandbox.force(str(found[0]["reference"]), status, webhook=False, **extra)
        return
    links = sandbox.links(echo)
    assert links, f"FeexPay was never asked for it: the payment is {payment.status}"
    sandbox.play_link(links[0]["code"], _LINK_CHOICES[outcome])
