"""Amounts as whole numbers of the currency's minor unit: checks, fees, conversion and display. Never a float.

FeexPay accepts only XOF and XAF, which have no cents. EUR and USD are for prices, which are converted first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

#: Between thousands and before the currency. The narrow one, U+202F, is missing in fonts and code pages of consoles.
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

# Up to this amount FeexPay's own script charges a fee of 1, whatever the percentage.
_SMALL_AMOUNT = 30


@dataclass(frozen=True, slots=True)
class Currency:
    """exponent: number of decimals (0: no cents). label: as people write the currency."""

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


#: One euro in XOF or XAF, fixed by treaty.
EURO_PARITY = Decimal("655.957")

#: Currencies of prices that are converted into the currency of the charge.
CONVERTIBLE = ("EUR", "USD")


def strict_amount(value: object) -> int:
    """Return the value if it is a whole number above zero.

    Raises: TypeError for anything but an int (True, 5.0 and "5" are not amounts), ValueError below one.
    """
    if type(value) is not int:  # isinstance would accept True
        raise TypeError("an amount is a whole number")
    if value < 1:
        raise ValueError("an amount is above zero")
    return value


def fee(amount: int, percent: Decimal) -> int:
    """FeexPay's fee on `amount`: the exact percentage, rounded up once to a whole unit.

    Up to 30 the fee is 1 at any percentage but zero, even if the percentage gives more (FeexPay's documented rule).
    For information only: contracts differ, so never decide about money by it alone.
    """
    strict_amount(amount)
    if percent == 0:
        return 0
    if amount <= _SMALL_AMOUNT:
        return 1
    return math.ceil(amount * Fraction(percent) / 100)


def convert(amount: int, currency: str, into: str, rate: Decimal) -> int:
    """Convert minor units of `currency` into minor units of `into`. rate: the price of one `currency` in `into`.

    Exact, then rounded up once: never below the price, and less than one minor unit above it.
    Raises: TypeError, ValueError as `strict_amount`; KeyError for an unknown currency.
    """
    units = Fraction(10 ** CURRENCIES[into].exponent, 10 ** CURRENCIES[currency].exponent)
    return math.ceil(strict_amount(amount) * units * Fraction(rate))


def show_rate(rate: Decimal) -> str:
    """The rate with all its digits and no trailing zeros: `655.957`."""
    return f"{rate.normalize():f}"


def show(amount: int, currency: str, *, mark: str = ".") -> str:
    """The amount as people write it: `5 000 F CFA`, `12.50 EUR`, with no-break spaces wherever it is shown.

    mark: between units and cents; a comma in French.
    Raises: KeyError for an unknown currency.
    """
    known = CURRENCIES[currency]
    unit = 10**known.exponent
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), unit)
    text = f"{sign}{whole:,}".replace(",", NO_BREAK_SPACE)
    if known.exponent:
        text = f"{text}{mark}{rest:0{known.exponent}d}"
    return f"{text}{NO_BREAK_SPACE}{known.label.replace(' ', NO_BREAK_SPACE)}"
