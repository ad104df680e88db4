"""A year of made-up payments: believable, without a violation of any rule, and kept out of production."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Sum
from pytest_django import Settings
from shop.models import CoinEntry, CoinPack

from django_feexpay.lifecycle import Status
from django_feexpay.models import (
    Attempt,
    Comparison,
    Credit,
    DailyTotal,
    Discrepancy,
    Incident,
    Payment,
    Refund,
    StaffAction,
    WebhookDelivery,
)
from django_feexpay.payments import invariants

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("packs")]


def demo_data(**options: Any) -> str:
    output = StringIO()
    call_command("feexpay_demo_data", stdout=output, **options)
    return output.getvalue()


def test_made_up_payments_break_no_rule_and_show_everything(packs: dict[str, CoinPack]) -> None:
    assert demo_data(payments=900).startswith("900 payments in ")

    assert list(invariants.violations()) == []
    call_command("feexpay_verify_audit", stdout=StringIO())  # raises where a chain breaks
    assert Payment.objects.count() == 900
    shown = {Status.PENDING, Status.SUCCESSFUL, Status.FAILED, Status.REJECTED, Status.EXPIRED, Status.REVIEW}
    assert set(Payment.objects.values_list("status", flat=True)) == shown
    assert {Incident.Kind.DUPLICATE_CHARGE, Incident.Kind.REVERSED_AFTER_CREDIT} <= set(
        Incident.objects.values_list("kind", flat=True)
    )
    assert Incident.objects.filter(closed_at=None).exists()
    assert Refund.objects.filter(state=Refund.State.RECORDED, credited=True).exists()
    assert Refund.objects.filter(state=Refund.State.RECORDED, credited=False).exists()
    assert Discrepancy.objects.at_stake().exists()
    assert Comparison.objects.count() > 300
    assert WebhookDelivery.objects.count() > 500
    assert StaffAction.objects.filter(action=StaffAction.Action.CLOSE_REVIEW).exists()
    credited = Credit.objects.filter(currency="XOF").aggregate(total=Sum("amount"))["total"]
    assert DailyTotal.objects.filter(currency="XOF").aggregate(total=Sum("amount"))["total"] == credited
    assert CoinEntry.objects.count() >= Credit.objects.count() - 5


def test_numbers_are_of_the_range_that_is_not_in_use() -> None:
    demo_data(payments=60)

    sealed = Attempt.objects.filter(msisdn_sealed__isnull=False).values_list("msisdn_sealed", flat=True)
    numbers = {each.open()["national"] for each in sealed if each is not None}
    assert numbers
    assert all(number[-6:-4] == "00" for number in numbers)


def test_second_run_adds_nothing_and_says_what_to_do() -> None:
    demo_data(payments=60)

    said = demo_data(payments=60)

    assert said.startswith("Nothing added: 60 made-up payments are here already.")
    assert Payment.objects.count() == 60


def test_made_up_payments_are_refused_in_production(settings: Settings) -> None:
    settings.FEEXPAY = settings.FEEXPAY | {"ENVIRONMENT": "production"}

    with pytest.raises(CommandError, match="production"):
        demo_data(payments=60)

    assert not Payment.objects.exists()


def test_payments_of_other_origin_are_not_mixed_unless_asked() -> None:
    demo_data(payments=60)
    User.objects.update(email="")  # now they look like real ones

    with pytest.raises(CommandError, match="--add"):
        demo_data(payments=60)

    assert Payment.objects.count() == 60
