"""What a host's typed code looks like: mypy reads this file (tests/host/test_typing.py), nobody runs it."""

from __future__ import annotations

from typing import assert_type
from uuid import UUID

from django.contrib.auth.models import User

import django_feexpay
from django_feexpay.models import Payment


def buy(user: User) -> Payment:
    payment = django_feexpay.start_payment(
        user=user, provider="mtn_bj", amount=5000, phone="01 61 00 00 50", merchant_reference="order-17"
    )
    assert_type(payment, Payment)
    assert_type(django_feexpay.retry_payment(payment.pk, phone="01 62 00 00 00"), Payment)
    assert_type(django_feexpay.reconcile_payment(UUID(int=7)), Payment)
    return payment


def mistakes(user: User) -> None:
    django_feexpay.start_payment(user=user, provider="mtn_bj", amount=50.0)  # type: ignore[arg-type]  # no float
    django_feexpay.start_payment(user, "mtn_bj", 5000)  # type: ignore[call-arg]  # by name only
    django_feexpay.retry_payment("7")  # type: ignore[arg-type]  # a UUID
