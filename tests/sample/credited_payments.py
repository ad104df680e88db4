"""Credited payments, written by the ledger without a gateway."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from django_feexpay import conf
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment, Provider
from django_feexpay.payments import ledger
from django_feexpay.payments.ledger import Cause, Source


def credited_payment(player: User | None, *, amount: int, metadata: dict[str, Any] | None = None) -> Payment:
    """A successful payment of this player with its credit, as read from the database."""
    now = conf.now()
    payment = Payment(
        user=player,
        provider=Provider.objects.get(pk="mtn_bj"),
        amount=amount,
        currency="XOF",
        charged_amount=amount,
        charged_currency="XOF",
        metadata=metadata or {},
        created_at=now,
        updated_at=now,
    )
    attempt = Attempt(
        payment=payment,
        amount=amount,
        sent_at=now,
        expires_at=now + timedelta(minutes=15),
        created_at=now,
        updated_at=now,
    )
    cause = Cause(source=Source.HOST, because="started")
    with transaction.atomic():
        ledger.open_payment(payment, attempt, cause, sending=True)
    reference = {"gateway_reference": uuid.uuid4().hex}
    assert ledger.move(attempt.pk, Status.PENDING, cause, changes=reference)
    assert ledger.move(attempt.pk, Status.SUCCESSFUL, cause)
    return Payment.objects.for_reading().get(pk=payment.pk)
