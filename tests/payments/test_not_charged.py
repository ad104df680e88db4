"""One rule says whether a retry is allowed. Its Python version (one row) and its SQL version (a list) agree."""

from __future__ import annotations

from itertools import product

import pytest

from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt

pytestmark = pytest.mark.django_db

REASONS = ("", "expired", "never_sent", "never_arrived", "unknown_reason")


def test_row_and_list_agree_on_every_combination(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    sure = set()
    for status, reason, reference in product(Status, REASONS, (None, "ref-1")):
        Attempt.objects.update(status=status, reason_code=reason, gateway_reference=reference)
        in_list = not Payment.objects.for_reading().get(pk=payment.pk).may_still_succeed

        assert only_attempt(payment).is_not_charged is in_list, (status, reason, reference)
        if in_list:
            sure.add((status.value, reason if status is Status.EXPIRED else "any", reference or "none"))

    assert sure == {
        *(("failed", "any", reference) for reference in ("none", "ref-1")),
        *(("rejected", "any", reference) for reference in ("none", "ref-1")),
        ("expired", "never_sent", "none"),
        ("expired", "never_arrived", "none"),
    }


@pytest.mark.parametrize("reason", REASONS)
def test_only_refusals_with_an_undocumented_text_are_doubtful(reason: str) -> None:
    refused = Attempt(status=Status.REJECTED, reason_code=reason)

    assert refused.is_doubtful_refusal is (reason in ("expired", "unknown_reason"))
    assert not Attempt(status=Status.FAILED, reason_code=reason).is_doubtful_refusal
