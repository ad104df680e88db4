from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.gateway.money import CURRENCIES, fee, show, strict_amount

PERCENTS = st.decimals(min_value=0, max_value=100, places=2)


@pytest.mark.parametrize("value", [True, False, 5.0, "5", "5000", None, Decimal(5), b"5", [5]])
def test_strict_amount_refuses_what_is_no_int(value: object) -> None:
    with pytest.raises(TypeError):
        strict_amount(value)


@pytest.mark.parametrize("value", [0, -1, -5000])
def test_strict_amount_refuses_nothing_and_less(value: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        strict_amount(value)


def test_strict_amount_is_the_amount() -> None:
    assert strict_amount(2_000_000) == 2_000_000


@pytest.mark.parametrize(
    ("amount", "percent", "expected"),
    [
        (5000, "1.7", 85),
        (100, "1.7", 2),  # 1.7
        (101, "1.9", 2),  # 1.919
        (1000, "3", 30),
        (10_000, "2.9", 290),
        (999, "3.2", 32),  # 31.968
        (2_000_000, "4.5", 90_000),
        (30, "1.7", 1),
        (1, "4.5", 1),
        (31, "4.5", 2),  # 1.395
        (5000, "0", 0),
        (30, "0", 0),
    ],
)
def test_fee_is_rounded_up(amount: int, percent: str, expected: int) -> None:
    assert fee(amount, Decimal(percent)) == expected


def test_fee_of_no_amount_is_refused() -> None:
    with pytest.raises(TypeError):
        fee(True, Decimal("1.7"))


def test_fee_is_exact_whatever_the_decimal_context() -> None:
    with localcontext(prec=2):
        assert fee(1_999_999, Decimal("1.7")) == 34_000


@given(amount=st.integers(31, 10**9), percent=PERCENTS)
def test_fee_is_the_smallest_whole_number_not_below_the_share(amount: int, percent: Decimal) -> None:
    charged = fee(amount, percent)

    assert (charged - 1) * 10_000 < amount * int(percent * 100) <= charged * 10_000


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (5000, "XOF", "5 000 F CFA"),
        (100, "XAF", "100 F CFA"),
        (2_000_000, "XOF", "2 000 000 F CFA"),
        (0, "XOF", "0 F CFA"),
        (-500, "XOF", "-500 F CFA"),
        (1250, "EUR", "12.50 EUR"),
        (5, "USD", "0.05 USD"),
        (-5, "USD", "-0.05 USD"),
        (123_456_789, "EUR", "1 234 567.89 EUR"),
    ],
)
def test_show_writes_the_amount_as_people_do(amount: int, currency: str, expected: str) -> None:
    assert show(amount, currency) == expected


def test_show_refuses_an_unknown_currency() -> None:
    with pytest.raises(KeyError):
        show(5000, "GNF")


def test_francs_have_no_cents() -> None:
    assert {code: currency.exponent for code, currency in CURRENCIES.items()} == {
        "XOF": 0,
        "XAF": 0,
        "EUR": 2,
        "USD": 2,
    }
