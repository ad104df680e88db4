"""The comparison that decides whether a soak passed: it must see what it is there for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.soak.books import OurAttempt, compare

CREDITED = OurAttempt(payment="p", status="successful", because="confirmed", amount=1000, credited=1000)
COINS = {"p": [100]}


def row(**changes: Any) -> dict[str, Any]:
    """A payment the sandbox took and was paid."""
    taken = {"reference": "r", "echo": "a", "amount": 1000, "paid_amount": 1000, "charged": True, "prompts": 1}
    return {**taken, **changes}


def ours(**changes: Any) -> OurAttempt:
    return OurAttempt(**{"payment": "p", "status": "pending", "because": "accepted", "amount": 1000, **changes})


def test_books_that_agree_have_no_violation() -> None:
    doubted = ours(payment="q", status="review", because="amount_mismatch")
    unsent = ours(payment="s", status="review", because="not_found_in_history")
    refund = ours(status="successful", refund_opened=True)
    theirs = [row(), row(echo="b", paid_amount=999), row(echo="d", charged=False, paid_amount=0), row(echo="e")]
    books = {"a": CREDITED, "b": doubted, "c": unsent, "d": ours(payment="t", status="failed"), "e": refund}

    assert compare(theirs, books, COINS).violations == []


@pytest.mark.parametrize(
    ("attempt", "charge"),
    [
        pytest.param(ours(status="expired", because="payer_did_not_answer"), row(), id="expired"),
        pytest.param(ours(status="rejected"), row(), id="rejected"),
        pytest.param(ours(status="review", because="amount_mismatch"), row(), id="review of a full amount"),
        pytest.param(ours(status="review", because="not_found_in_history"), row(), id="not looked for well enough"),
        pytest.param(ours(status="successful"), row(), id="successful, not credited"),
        pytest.param(CREDITED, row(echo="x"), id="an echo of nobody"),
    ],
)
def test_charge_without_credit_is_lost(attempt: OurAttempt, charge: Mapping[str, Any]) -> None:
    assert len(compare([charge], {"a": attempt}, {}).lost) == 1


def test_second_credit_and_second_coins_are_duplicates() -> None:
    second = compare([row(), row(echo="b")], {"a": CREDITED, "b": CREDITED}, COINS)
    coins_twice = compare([row()], {"a": CREDITED}, {"p": [100, 100]})

    assert second.duplicates == ["payment p: 2 credits"]
    assert coins_twice.duplicates == ["payment p: coins given 2 times"]


@pytest.mark.parametrize(
    ("theirs", "attempt", "coins", "text"),
    [
        ([row(), row(charged=False)], CREDITED, COINS, "attempt a: 2 requests, 2 prompts, 1 charges"),
        ([], CREDITED, COINS, "attempt a: successful, 1000 asked for, [] paid"),
        ([row(paid_amount=999)], CREDITED, COINS, "attempt a: successful, 1000 asked for, [999] paid"),
        ([row()], CREDITED, {}, "payment p: 0 coins given, 100 owed"),
        ([row()], CREDITED, {"p": [99]}, "payment p: 99 coins given, 100 owed"),
        ([], ours(status="failed"), COINS, "payment p: 100 coins given, 0 owed"),
        ([], ours(status="unknown"), {}, "attempt a: still unknown"),
        ([], ours(status="review", because="echo_missing"), {}, "attempt a: in review without a reason (echo_missing)"),
    ],
)
def test_other_disagreements_are_told(
    theirs: list[dict[str, Any]], attempt: OurAttempt, coins: dict[str, list[int]], text: str
) -> None:
    assert compare(theirs, {"a": attempt}, coins).violations == [text]
