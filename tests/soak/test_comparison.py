"""The comparison that decides whether a soak passed finds every kind of violation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.soak.comparison import OurAttempt, compare

CREDITED = OurAttempt(payment="p", status="successful", because="confirmed", amount=1000, credited=1000, reference="r")
COINS = {"p": [100]}


def row(**changes: Any) -> dict[str, Any]:
    """A paid payment at the sandbox."""
    paid = {"reference": "R", "echo": "a", "custom_id": None, "amount": 1000, "paid_amount": 1000, "prompts": 1}
    return {**paid, "charged": True, "status": "SUCCESSFUL", **changes}


def second(**changes: Any) -> dict[str, Any]:
    """FeexPay's own second charge of the same payment."""
    return row(**{"reference": "R2", "prompts": 0, **changes})


def reversed_row(**changes: Any) -> dict[str, Any]:
    return row(**{"charged": False, "paid_amount": 0, "status": "REVERSED", **changes})


def ours(**changes: Any) -> OurAttempt:
    return OurAttempt(**{"payment": "p", "status": "pending", "because": "accepted", "amount": 1000, **changes})


def test_matching_rows_have_no_violation() -> None:
    doubted = ours(payment="q", status="review", because="amount_mismatch")
    unsent = ours(payment="s", status="review", because="not_found_in_history")
    sibling = ours(status="successful", reference="re", duplicates=frozenset({"re"}))
    revoked = ours(payment="v", status="review", because="alive_after_failure")
    theirs = [
        *(row(), row(echo="b", paid_amount=999), row(echo="d", charged=False, paid_amount=0, status="FAILED")),
        *(row(echo="e", reference="RE"), reversed_row(echo="f"), reversed_row(echo="g")),
    ]
    failed = ours(payment="t", status="failed")
    attempts = {"a": CREDITED, "b": doubted, "c": unsent, "d": failed, "e": sibling, "f": revoked}
    attempts["g"] = ours(payment="w", status="review", because="unknown_word")

    assert compare(theirs, attempts, COINS).violations == []


def test_payment_on_a_page_is_matched_by_its_custom_id() -> None:
    assert compare([row(echo=None, custom_id="a")], {"a": CREDITED}, COINS).violations == []
    assert len(compare([row(echo=None)], {"a": CREDITED}, COINS).lost) == 1


def test_second_charge_needs_an_incident_or_a_discrepancy_that_names_it() -> None:
    theirs, named = [row(), second()], frozenset({"r2"})

    for attempt in (replace(CREDITED, duplicates=named), replace(CREDITED, open_discrepancies=named)):
        assert compare(theirs, {"a": attempt}, COINS).violations == []
    for attempt in (CREDITED, replace(CREDITED, duplicates=frozenset({"r3"}))):
        assert compare(theirs, {"a": attempt}, COINS).lost == ["charge R2: attempt a is successful (confirmed)"]


@pytest.mark.parametrize("status", ["REVERSED", "FAILED"])
def test_reversed_credit_without_an_incident_is_forgotten(status: str) -> None:
    named = replace(CREDITED, reversals=frozenset({"r"}))

    assert compare([reversed_row(status=status)], {"a": named}, COINS).violations == []
    assert compare([reversed_row(status=status)], {"a": CREDITED}, COINS).forgotten == [
        f"attempt a: credited, and R is {status} without an incident"
    ]


def test_charge_reversed_before_its_credit_needs_no_incident() -> None:
    assert compare([reversed_row()], {"a": ours(status="failed", reference="r")}, {}).violations == []


@pytest.mark.parametrize(
    ("attempt", "text"),
    [
        (replace(CREDITED, duplicates=frozenset({"r"})), "attempt a: r is called a second charge and is not one"),
        (replace(CREDITED, duplicates=frozenset({"x"})), "attempt a: x is called a second charge and is not one"),
        (replace(CREDITED, reversals=frozenset({"r"})), "attempt a: r is called reversed and is paid"),
        (replace(CREDITED, open_discrepancies=frozenset({"r"})), "attempt a: r is an open discrepancy and is credited"),
    ],
)
def test_false_incident_is_a_violation(attempt: OurAttempt, text: str) -> None:
    assert compare([row()], {"a": attempt}, COINS).violations == [text]


@pytest.mark.parametrize(
    ("attempt", "charge"),
    [
        pytest.param(ours(status="expired", because="payer_did_not_answer"), row(), id="expired"),
        pytest.param(ours(status="rejected"), row(), id="rejected"),
        pytest.param(ours(status="review", because="amount_mismatch"), row(), id="review of a full amount"),
        pytest.param(ours(status="review", because="not_found_in_history"), row(), id="missed in history"),
        pytest.param(ours(status="successful"), row(), id="successful, not credited"),
        pytest.param(CREDITED, row(echo="x"), id="unknown callback_info"),
    ],
)
def test_charge_without_credit_is_lost(attempt: OurAttempt, charge: Mapping[str, Any]) -> None:
    assert len(compare([charge], {"a": attempt}, {}).lost) == 1


def test_second_credit_and_second_coins_are_duplicates() -> None:
    both = compare([row(), row(echo="b")], {"a": CREDITED, "b": CREDITED}, COINS)
    coins_twice = compare([row()], {"a": CREDITED}, {"p": [100, 100]})

    assert both.duplicates == ["payment p: 2 credits"]
    assert coins_twice.duplicates == ["payment p: coins given 2 times"]


@pytest.mark.parametrize(
    ("theirs", "attempt", "coins", "text"),
    [
        (
            [row(), row(reference="X", charged=False, status="PENDING")],
            CREDITED,
            COINS,
            "attempt a: 2 requests, 2 prompts, 1 charges",
        ),
        ([row(), second(prompts=1, charged=False)], CREDITED, COINS, "attempt a: 2 requests, 2 prompts, 1 charges"),
        ([], CREDITED, COINS, "attempt a: successful, 1000 asked for, [] paid"),
        ([row(paid_amount=999)], CREDITED, COINS, "attempt a: successful, 1000 asked for, [999] paid"),
        ([row()], CREDITED, {}, "payment p: 0 coins given, 100 owed"),
        ([row()], CREDITED, {"p": [99]}, "payment p: 99 coins given, 100 owed"),
        (
            [reversed_row()],
            ours(status="successful", reference="r"),
            {},
            "attempt a: successful, 1000 asked for, [0] paid",
        ),
        ([], ours(status="failed"), COINS, "payment p: 100 coins given, 0 owed"),
        ([], ours(status="unknown"), {}, "FORGOTTEN attempt a: still unknown"),
        (
            [row()],
            ours(status="review", because="alive_after_failure", open_discrepancies=frozenset({"r"})),
            {},
            "attempt a: in review without a reason (alive_after_failure)",
        ),
        ([], ours(status="review", because="echo_missing"), {}, "attempt a: in review without a reason (echo_missing)"),
    ],
)
def test_other_violations_are_listed(
    theirs: list[dict[str, Any]], attempt: OurAttempt, coins: dict[str, list[int]], text: str
) -> None:
    assert compare(theirs, {"a": attempt}, coins).violations == [text]
