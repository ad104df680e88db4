from __future__ import annotations

from collections import Counter

import pytest

from tests.soak import plan


def test_same_seed_draws_the_same_plan() -> None:
    assert plan.draw(7, 100) == plan.draw(7, 100)
    assert plan.draw(7, 100) != plan.draw(8, 100)


def test_amounts_are_unique() -> None:
    drawn = plan.draw(1, 300)

    assert len({purchase.amount for purchase in drawn.purchases}) == 300


def test_every_fault_happens_during_the_purchases() -> None:
    drawn = plan.draw(1, 500)

    kinds = Counter(fault.what for fault in drawn.faults)
    assert kinds["crash database"] == kinds["kill shop"] == kinds["kill sandbox"] == 1
    assert kinds["kill worker-1"] + kinds["kill worker-2"] >= 4
    assert all(0 < fault.at_seconds < drawn.seconds for fault in drawn.faults)


def test_shares_of_special_purchases() -> None:
    purchases = plan.draw(1, 2000).purchases

    assert 0.15 < sum(purchase.doubled for purchase in purchases) / 2000 < 0.25
    assert 0.03 < sum(purchase.drops_connection for purchase in purchases) / 2000 < 0.07
    assert 0.03 < sum(purchase.polls_fast for purchase in purchases) / 2000 < 0.07
    assert 0.06 < sum(bool(purchase.retried_with) for purchase in purchases) / 2000 < 0.14
    assert {f"{ending:02}" for ending in range(19)} <= {purchase.ending for purchase in purchases}


def test_short_soak_has_each_case() -> None:
    drawn = plan.draw(1, 30)

    assert {purchase.charged_error for purchase in drawn.purchases} == {None, *plan.CHARGED_ERRORS}
    follow_ups = {
        (purchase.case, purchase.follow_up.after_seconds is None) for purchase in drawn.purchases if purchase.follow_up
    }
    assert {(case, late) for case in (plan.Case.REVERSED, plan.Case.PUSH_TWICE) for late in (True, False)} <= follow_ups
    assert (plan.Case.PAGE_TWICE, False) in follow_ups
    assert drawn.hung_amounts


def test_follow_ups_after_the_purchases_send_no_webhook() -> None:
    follow_ups = [purchase.follow_up for purchase in plan.draw(1, 300).purchases if purchase.follow_up]

    assert all(follow_up.body["webhook"] is (follow_up.after_seconds is not None) for follow_up in follow_ups)


def test_payer_on_a_page_has_no_number() -> None:
    by_card = [purchase for purchase in plan.draw(1, 300).purchases if purchase.case in plan.PAGES]

    assert by_card
    assert {purchase.phone() for purchase in by_card} == {""}


@pytest.mark.parametrize("provider", plan.PREFIXES)
def test_every_number_is_recognised_in_any_format(provider: str) -> None:
    number = next(p for p in plan.draw(1, 200).purchases if p.provider == provider).phone()
    spaced = " ".join(number[start : start + 2] for start in range(0, len(number), 2))

    assert all(
        plan.is_canary(f"to {text}, please")
        for text in (number, spaced, f"+229{number}", f'"{number}"', f'{{"x":{number}}}')
    )


@pytest.mark.parametrize(
    "text",
    ["d0617394-50aa", "cafe61739450", "617394", "+229 01 •• •• •• 50", "61:73:94.50", "2026-11-30 07:11:45.739412+00"],
)
def test_coincidence_is_not_a_number(text: str) -> None:
    assert not plan.is_canary(text)
