"""The copies that make a million payments for measurements are as sound as the payments that they copy."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import Sum

from django_feexpay.models import Attempt, Credit, DailyTotal, Payment, PaymentEvent
from django_feexpay.payments import invariants
from tools.bench import copies

pytestmark = [
    pytest.mark.django_db(transaction=True),  # VACUUM runs outside any transaction
    pytest.mark.postgres_only,
    pytest.mark.usefixtures("packs"),
]


def sums(model: Any) -> dict[str, int]:
    return dict(model.objects.order_by().values("currency").annotate(sum=Sum("amount")).values_list("currency", "sum"))


def test_copies_break_no_rule_and_share_nothing() -> None:
    call_command("feexpay_demo_data", payments=200, stdout=StringIO())
    once = {model: model.objects.count() for model in (Payment, Attempt, PaymentEvent, Credit)}
    credited = sums(Credit)

    copies.multiply(2)

    assert {model: model.objects.count() for model in once} == {model: 3 * count for model, count in once.items()}
    assert sums(Credit) == sums(DailyTotal) == {currency: 3 * amount for currency, amount in credited.items()}
    assert Payment.objects.values("user", "merchant_reference").distinct().count() == 600
    assert list(invariants.violations()) == []
