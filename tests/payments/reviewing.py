"""Shared by the tests of reviews: false statuses that lead to a review, and how staff close it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

import django_feexpay
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Payment, PaymentEvent
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Cause, Source, move
from tests.payments.fakes import only_attempt

#: FeexPay's status for each origin of a review.
SHORT = {"amount": 4999}
NO_ECHO = {"callback_info": None}
NO_AMOUNT = {"amount": None, "callback_info": None}
MADE_UP_WORD = {"status": "ON HOLD"}


def put_under_review(payment: Payment) -> None:
    cause = Cause(source=Source.WORKER, because="not_found_in_history")
    assert move(only_attempt(payment).pk, Status.REVIEW, cause)
    payment.refresh_from_db()


def close(payment: Payment, decision: str, actor: User, **more: Any) -> Payment:
    return django_feexpay.close_review(
        payment, **{"decision": decision, "reason": "seen in the account", "actor": actor, **more}
    )


def refused(payment: Payment, decision: str, actor: User, **more: Any) -> str:
    """Return the code of the refusal, and check that nothing changed."""
    before = rows()
    with pytest.raises(NotAllowedError) as caught:
        close(payment, decision, actor, **more)
    assert rows() == before
    assert caught.value.message
    return caught.value.code


def rows() -> list[Any]:
    """The rows that a decision changes."""
    return [
        list(Attempt.objects.order_by("pk").values_list("pk", "status", "reason_code")),
        list(Payment.objects.order_by("pk").values_list("pk", "status")),
        list(PaymentEvent.objects.order_by("pk").values_list("pk", flat=True)),
        list(Credit.objects.values_list("pk", "amount")),
    ]


def broken_invariants() -> list[str]:
    return [str(violation) for violation in violations()]
