"""The log lines of moves: one line for each new status of an attempt or a payout, after its commit."""

from __future__ import annotations

import logging

from django_feexpay import log_context
from django_feexpay.models import Attempt, Payment, Payout

logger = logging.getLogger("django_feexpay.payments")


def attempt_moved(payment: Payment, attempt: Attempt, before: str, because: str) -> None:
    """Log that an attempt has a new status; `before` is "" for a new attempt."""
    with log_context.step():
        log_context.bind(payment_id=payment.pk, attempt_id=attempt.pk, provider=payment.provider_id)
        _moved(f"attempt {attempt.pk}", before, attempt.status, because)


def payout_moved(payout: Payout, before: str, after: str, because: str) -> None:
    """Log that a payout has a new state; `before` is "" for a new payout."""
    with log_context.step():
        log_context.bind(payment_id=payout.payment_id, provider=payout.provider_code)
        _moved(f"payout {payout.pk}", before, after, because)


def _moved(subject: str, before: str, after: str, because: str) -> None:
    fields = {"from_status": before, "to_status": str(after), "because": because}
    if before:
        log_context.info_after_commit(logger, "%s: %s to %s, %s", subject, str(before), str(after), because, **fields)
    else:
        log_context.info_after_commit(logger, "%s: new, %s, %s", subject, str(after), because, **fields)
