from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.catalogue.money import (
    CONVERTIBLE,
    CURRENCIES,
    EURO_PARITY,
    convert,
    fee,
    show,
    show_rate,
    strict_amount,
)

PERCENTS = st.decimals(min_value=0, max_value=100, places=2)


@pytest.mark.parametrize("value", [True, False, 5.0, "5", "5000", None, Decimal(5), b"5", [5]])
def test_strict_amount_refuses_anything_but_an_int(value: object) -> None:
    with pytest.raises(TypeError, match="a whole number"):
        strict_amount(value)


@pytest.mark.parametrize("value", [0, -1, -5000])
def test_strict_amount_refuses_zero_and_negative_numbers(value: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        strict_amount(value)


def test_strict_amount_returns_the_amount() -> None:
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
        (30, "4.5", 1),  # 1.35: the last amount of the flat rule
        (31, "4.5", 2),  # 1.395
        (5000, "0", 0),
        (30, "0", 0),
    ],
)
def test_fee_is_rounded_up(amount: int, percent: str, expected: int) -> None:
    assert fee(amount, Decimal(percent)) == expected


def test_fee_of_an_invalid_amount_is_refused() -> None:
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
    ("amount", "currency", "rate", "expected"),
    [
        (1000, "EUR", "655.957", 6560),  # 6559.57
        (100_000, "EUR", "655.957", 655_957),
        (1, "EUR", "655.957", 7),  # 6.55957
        (1000, "USD", "600", 6000),
        (1, "USD", "600.00000001", 7),
        (7, "XOF", "1", 7),
    ],
)
def test_conversion_is_rounded_up_once(amount: int, currency: str, rate: str, expected: int) -> None:
    assert convert(amount, currency, "XOF", Decimal(rate)) == expected
    assert convert(amount, currency, "XAF", Decimal(rate)) == expected


def test_currency_with_cents_is_converted_in_cents() -> None:
    """FeexPay charges none today; the units of both currencies count."""
    assert convert(1000, "EUR", "EUR", Decimal(1)) == 1000
    assert convert(1000, "EUR", "USD", Decimal("1.1")) == 1100
    assert convert(7, "XOF", "USD", Decimal("0.5")) == 350


@given(
    amount=st.integers(1, 2**63 - 1),
    currency=st.sampled_from(CONVERTIBLE),
    rate=st.decimals(min_value="0.00000001", max_value=2000, places=8),
)
def test_conversion_is_never_below_the_price_or_a_unit_above(amount: int, currency: str, rate: Decimal) -> None:
    charged = convert(amount, currency, "XOF", rate)

    exact = amount * int(rate * 10**8)  # in hundredths of hundred-millionths
    assert type(charged) is int
    assert (charged - 1) * 10**10 < exact <= charged * 10**10


def test_conversion_is_exact_whatever_the_decimal_context() -> None:
    with localcontext(prec=2):
        assert convert(1_000_000_01, "EUR", "XOF", EURO_PARITY) == 655_957_007


@pytest.mark.parametrize("amount", [True, 5.0, "5", 0, -1])
def test_invalid_amount_is_not_converted(amount: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        convert(amount, "EUR", "XOF", EURO_PARITY)  # type: ignore[arg-type]  # what the test is about


@pytest.mark.parametrize(
    ("rate", "expected"), [("655.95700000", "655.957"), ("600", "600"), ("0.00000001", "0.00000001"), ("1E+3", "1000")]
)
def test_rate_is_shown_without_trailing_zeros(rate: str, expected: str) -> None:
    assert show_rate(Decimal(rate)) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (5000, "XOF", "5\u00a0000\u00a0F\u00a0CFA"),
        (100, "XAF", "100\u00a0F\u00a0CFA"),
        (2_000_000, "XOF", "2\u00a0000\u00a0000\u00a0F\u00a0CFA"),
        (0, "XOF", "0\u00a0F\u00a0CFA"),
        (-500, "XOF", "-500\u00a0F\u00a0CFA"),
        (1250, "EUR", "12.50\u00a0EUR"),
        (5, "USD", "0.05\u00a0USD"),
        (-5, "USD", "-0.05\u00a0USD"),
        (123_456_789, "EUR", "1\u00a0234\u00a0567.89\u00a0EUR"),
    ],
)
def test_show_writes_the_amount_as_people_do(amount: int, currency: str, expected: str) -> None:
    assert show(amount, currency) == expected


def test_show_refuses_an_unknown_currency() -> None:
    with pytest.raises(KeyError):
        show(5000, "GNF")


def test_each_currency_has_its_code() -> None:
    assert {code: currency.code for code, currency in CURRENCIES.items()} == {code: code for code in CURRENCIES}
    assert CONVERTIBLE == ("EUR", "USD")


def test_francs_have_no_cents() -> None:
    assert {code: currency.exponent for code, currency in CURRENCIES.items()} == {
        "XOF": 0,
        "XAF": 0,
        "EUR": 2,
        "USD": 2,
    }
