"""Format and parse amounts. Integers only; spaces are U+00A0, so that no amount is wrapped."""

from __future__ import annotations

from feexpay_client.core.models import Provider

NBSP = "\u00a0"
#: Decimal places and symbol. Francs have no cents.
_CURRENCIES = {"XOF": (0, "F\u00a0CFA"), "XAF": (0, "F\u00a0CFA"), "EUR": (2, "€"), "USD": (2, "$")}
#: Larger than any payment.
LARGEST = 10**12


def formatted(amount: int, currency: str, language: str) -> str:
    """`5 100 F CFA`, `12,50 €` in French, `€12.50` in English. An unknown currency is shown by its code."""
    places, sign = _CURRENCIES.get(currency, (0, currency))
    french = language.startswith("fr")
    whole, cents = divmod(abs(amount), 10**places)
    number = f"{whole:,}".replace(",", NBSP if french or not places else ",")
    if places:
        number += f"{',' if french else '.'}{cents:0{places}d}"
    minus = "-" if amount < 0 else ""
    if places and not french:
        return f"{minus}{sign}{number}"
    return f"{minus}{number}{NBSP}{sign}"


def grouped(amount: int) -> str:
    """The number without currency, in groups of three digits."""
    return f"{amount:,}".replace(",", NBSP)


def from_typed(text: str) -> int:
    """The amount in a typed text: its digits, 0 if there are none, at most LARGEST."""
    digits = "".join(character for character in text if character.isascii() and character.isdigit())
    return min(int(digits[:15] or "0"), LARGEST)


def problem(amount: int, provider: Provider) -> str:
    """The error of an amount, as a key of `amount.…` in the locales; empty if it is valid."""
    if amount <= 0:
        return "missing"
    if provider.min_amount is not None and amount < provider.min_amount:
        return "too_small"
    if provider.max_amount is not None and amount > provider.max_amount:
        return "too_large"
    return ""
