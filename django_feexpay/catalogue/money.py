"""Whole numbers of the currency's smallest unit, how they are converted, and how they are shown. Never a float.

FeexPay takes XOF and XAF only, and both have no cents; EUR and USD exist for prices that are converted first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

# Up to this amount FeexPay's own script charges 1, whatever the percentage.
_SMALL_AMOUNT = 30


@dataclass(frozen=True, slots=True)
class Currency:
    """exponent: how many decimals the smallest unit has (0: no cents). label: what people write."""

    code: str
    exponent: int
    label: str


CURRENCIES: Mapping[str, Currency] = MappingProxyType(
    {
        "XOF": Currency("XOF", 0, "F CFA"),
        "XAF": Currency("XAF", 0, "F CFA"),
        "EUR": Currency("EUR", 2, "EUR"),
        "USD": Currency("USD", 2, "USD"),
    }
)


#: One euro in francs of West and of Central Africa alike: a treaty fixes it.
EURO_PARITY = Decimal("655.957")

#: What a price may be written in besides the currency it is charged in.
CONVERTIBLE = ("EUR", "USD")


def strict_amount(value: object) -> int:
    """The value itself, if it is a whole number above zero.

    Raises TypeError for anything but an int (True, 5.0 and "5" are no amounts), ValueError below one.
    """
    if type(value) is not int:  # isinstance would let True through
        raise TypeError("an amount is a whole number")
    if value < 1:
        raise ValueError("an amount is above zero")
    return value


def fee(amount: int, percent: Decimal) -> int:
    """What FeexPay keeps or adds for `amount`: the exact share, rounded up once to a whole unit.

    Up to 30 it is 1 at any percentage but zero, even where the exact share is above 1 (FeexPay's documented rule).
    Information only: contracts differ, and nothing about money may be decided from it alone.
    """
    strict_amount(amount)
    if percent == 0:
        return 0
    if amount <= _SMALL_AMOUNT:
        return 1
    return math.ceil(amount * Fraction(percent) / 100)


def convert(amount: int, currency: str, into: str, rate: Decimal) -> int:
    """`amount` of `currency` in the smallest unit of `into`; `rate`: how many whole `into` one whole `currency` is.

    Exact, then rounded up once: never below the price, and by less than one unit above it.
    Raises TypeError, ValueError as `strict_amount`; KeyError for a currency we do not know.
    """
    units = Fraction(10 ** CURRENCIES[into].exponent, 10 ** CURRENCIES[currency].exponent)
    return math.ceil(strict_amount(amount) * units * Fraction(rate))


def show_rate(rate: Decimal) -> str:
    """`655.957`: every digit that counts, and no zeros behind them."""
    return f"{rate.normalize():f}"


def show(amount: int, currency: str) -> str:
    """`5 000 F CFA`, `12.50 EUR`. Raises KeyError for a currency we do not know."""
    known = CURRENCIES[currency]
    unit = 10**known.exponent
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), unit)
    text = f"{sign}{whole:,}".replace(",", " ")
    if known.exponent:
        text = f"{text}.{rest:0{known.exponent}d}"
    return f"{text} {known.label}"
