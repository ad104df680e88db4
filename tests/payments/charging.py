"""Charges of a chosen day, provider and amount, written as rows: credited, taken twice, taken back."""

from __future__ import annotations

import itertools
from datetime import datetime
from uuid import uuid4

from django.contrib.auth.models import User

from django_feexpay.models import Credit, Incident, Payment, PaymentEvent, Refund
from tests.api.test_history import store_payment

_references = itertools.count(1)


def charge(
    player: User,
    at: datetime,
    amount: int,
    *,
    fee: int = 0,
    provider: str = "mtn_bj",
    currency: str = "XOF",
    price: tuple[int, str] | None = None,
) -> Payment:
    """A payment that was credited then. price: where it was converted into `amount`."""
    price_amount, price_currency = price or (amount, currency)
    payment = store_payment(
        player,
        at=at,
        status="successful",
        provider_id=provider,
        reference=f"ref-{next(_references)}",
        amount=price_amount,
        currency=price_currency,
        charged_amount=amount,
        fee=fee,
    )
    payment.charged_currency = currency
    payment.save(update_fields=["charged_currency"])
    event = PaymentEvent.objects.create(
        payment=payment,
        attempt=payment.attempt,
        from_status="pending",
        to_status="successful",
        because="reconciled",
        source="worker",
        created_at=at,
    )
    Credit.objects.create(
        payment=payment, attempt=payment.attempt, event=event, amount=amount, currency=currency, created_at=at
    )
    return payment


def incident(payment: Payment, kind: str, at: datetime, amount: int | None) -> Incident:
    return Incident.objects.create(
        kind=kind,
        payment=payment,
        attempt=payment.attempt,
        gateway_reference=f"other-{next(_references)}",
        amount=amount,
        currency=payment.charged_currency,
        opened_at=at,
    )


def refund(payment: Payment, amount: int, at: datetime, *, state: str = "recorded") -> Refund:
    """A refund of the credited charge, recorded then or only proposed."""
    recorded = {"recorded_at": at, "event_id": uuid4()} if state == "recorded" else {}
    return Refund.objects.create(
        payment=payment,
        attempt=payment.attempt,
        credited=True,
        amount=amount,
        currency=payment.charged_currency,
        way="cash",
        reason="sent back",
        state=state,
        source="admin",
        proposed_by="1",
        proposed_at=at,
        **recorded,
    )
