"""A statement beside FeexPay's history: open differences, each counted once, and days that nothing compared."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_feexpay.models import Attempt, Comparison, Discrepancy, Payment
from django_feexpay.payments import statements
from django_feexpay.payments.reconciliation import settlement
from django_feexpay.payments.reconciliation.settlement import Settlement, Sums
from django_feexpay.payments.statements import Period
from tests.payments.charging import charge, incident

pytestmark = pytest.mark.django_db

WEEK = Period(date(2026, 10, 5), date(2026, 10, 7))
TUESDAY = datetime(2026, 10, 6, 12, tzinfo=UTC)


def compared(first: int, last: int, state: str = "complete") -> Comparison:
    return Comparison.objects.create(
        first_day=date(2026, 10, first), last_day=date(2026, 10, last), state=state, started_at=TUESDAY, beat_at=TUESDAY
    )


def paid(player: User, amount: int, **fields: Any) -> Attempt:
    payment = charge(player, TUESDAY, amount, **fields)
    Attempt.objects.filter(payment=payment).update(sent_at=TUESDAY)
    return payment.attempt


def differs(attempt: Attempt | None, kind: str, **columns: Any) -> Discrepancy:
    comparison = Comparison.objects.first() or compared(4, 7)
    ours: dict[str, Any] = {}
    if attempt is not None:
        ours = {"payment_id": attempt.payment_id, "our_amount": attempt.amount, "our_status": "successful"}
        ours |= {"currency": "XOF", "gateway_reference": attempt.gateway_reference}
        ours["our_amount"] = Payment.objects.get(pk=attempt.payment_id).charged_amount
    values = {"their_word": "successful", "their_amount": 5000} | ours | columns
    return Discrepancy.objects.create(
        kind=kind,
        identity=f"{kind} {Discrepancy.objects.count()}",
        attempt=attempt,
        comparison=comparison,
        last_comparison=comparison,
        found_at=TUESDAY,
        **values,
    )


def settle(provider: str = "") -> Settlement:
    return settlement.settle(statements.make(WEEK, provider), provider)


def test_rows_that_agree_make_both_sums_equal(player: User) -> None:
    compared(4, 7)
    paid(player, 5000)

    found = settle()

    assert found == Settlement(uncompared=[], differences=[], sums=[Sums("XOF", 5000, 5000)])


@pytest.mark.parametrize(
    ("kind", "columns", "effect"),
    [
        pytest.param("amount", {"their_amount": 4999}, -1, id="FeexPay took less"),
        pytest.param("status", {"their_word": "failed"}, -5000, id="credited, FeexPay says failed"),
        pytest.param("missing_there", {"their_word": "", "their_amount": None}, -5000, id="FeexPay does not list it"),
        pytest.param("status", {"our_status": "failed"}, 5000, id="taken, not credited"),
        pytest.param("second_row", {"gateway_reference": "other"}, 5000, id="taken twice, no incident yet"),
        pytest.param("status", {"our_status": "failed", "their_word": "pending"}, 0, id="no money either way"),
    ],
)
def test_an_open_difference_changes_what_feexpay_took(
    player: User, kind: str, columns: dict[str, Any], effect: int
) -> None:
    differs(paid(player, 5000), kind, **columns)

    found = settle()

    assert [each.effect for each in found.differences] == [effect]
    assert found.sums == [Sums("XOF", 5000, 5000 + effect)]
    assert found.sums[0].difference == effect


def test_two_differences_about_one_charge_count_once(player: User) -> None:
    attempt = paid(player, 5000)
    differs(attempt, "amount", their_word="failed", their_amount=4000)
    differs(attempt, "status", their_word="failed", their_amount=4000)

    assert [each.effect for each in settle().differences] == [-5000, 0]


def test_difference_with_an_incident_is_counted_by_the_statement(player: User) -> None:
    attempt = paid(player, 5000)
    incident(attempt.payment, "duplicate_charge", TUESDAY, 5000)
    differs(attempt, "second_row", gateway_reference="other", outcome="incident")

    found = settle()

    assert (found.differences, found.sums) == ([], [Sums("XOF", 10_000, 10_000)])


def test_charge_that_only_feexpay_has_stands_without_a_currency(player: User) -> None:
    differs(None, "missing_here", their_amount=700)

    assert settle().sums == [Sums("", 0, 700)]
    assert settle("mtn_bj").differences == []  # FeexPay's history does not say whose it is


def test_closed_differences_and_those_of_other_days_and_providers_are_left_out(player: User) -> None:
    differs(paid(player, 5000), "amount", their_amount=1, state="closed")
    differs(paid(player, 5000, provider="moov_bj"), "amount", their_amount=1)
    late = paid(player, 5000)
    Attempt.objects.filter(pk=late.pk).update(sent_at=TUESDAY + timedelta(days=9))
    differs(late, "amount", their_amount=1)

    assert settle("mtn_bj").differences == []
    assert len(settle().differences) == 1


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        # The period begins at 23:00 UTC on the 4th.
        pytest.param([], [4, 5, 6, 7], id="none"),
        pytest.param([(5, 6, "complete")], [4, 7], id="some days"),
        pytest.param([(1, 5, "complete"), (6, 30, "complete")], [], id="two cover it"),
        pytest.param([(1, 30, "incomplete"), (4, 4, "complete")], [5, 6, 7], id="an incomplete one proves nothing"),
    ],
)
def test_days_without_a_complete_comparison_are_told(
    db: None, comparisons: list[tuple[int, int, str]], expected: list[int]
) -> None:
    for first, last, state in comparisons:
        compared(first, last, state)

    assert [day.day for day in settle().uncompared] == expected
