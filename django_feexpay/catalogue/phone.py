"""Phone numbers of payers: parsed from any usual notation, shown masked.

A msisdn is personal data: `str` and `repr` of everything here are masked, and no error message contains a digit.
An operator's prefix is only a hint, because numbers are ported between operators: never refuse a number by its prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django_feexpay.private import PrivateText

# Space, no-break, thin and narrow no-break space; hyphens and dashes; dots, slashes, parentheses. Tabs and line
# breaks are not accepted.
_SEPARATORS = re.compile("[ \u00a0\u2009\u202f.\\-\u2010\u2011\u2012\u2013()/]")
# Invisible: address books put direction marks around a number that is copied; web pages, zero-width spaces into it.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_NUMBER = re.compile(r"(\+00|\+|00)?([0-9]{1,20})")
_LONGEST_INPUT = 40

# National number lengths of FeexPay's countries, only to tell "another country" from "a digit is missing".
_NATIONAL_LENGTHS = {"229": 10, "225": 10, "228": 8, "221": 9, "226": 8, "223": 8, "242": 9}

# How the hidden middle of a number is grouped, by the length of the number; the first and last groups stay readable.
_HIDDEN_MIDDLE = {9: "••• ••", 10: "•• •• ••"}
_USUAL_HIDDEN_MIDDLE = "•• ••"


class PhoneError(ValueError):
    """The text is not a number of this country. `code`: `invalid`, `wrong_country` or `wrong_length`."""

    def __init__(self, code: str) -> None:
        super().__init__(f"not a usable phone number: {code}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneRule:
    """The number format of one provider.

    lengths: digits after the calling code. starts: the required beginning ("" for no rule). prefixes: hints only.
    example: a national number that is not in use. old_length, old_starts: numbers from before the country's last
    renumbering, which put `starts` in front of them.
    """

    calling_code: str
    lengths: tuple[int, ...]
    example: str
    prefixes: tuple[str, ...] = ()
    starts: str = ""
    old_length: int | None = None
    old_starts: tuple[str, ...] = ()

    def national(self, digits: str) -> str | None:
        """Today's national number for these digits, or None."""
        if len(digits) in self.lengths and digits.startswith(self.starts):
            return digits
        if len(digits) == self.old_length and digits.startswith(self.old_starts):
            return PrivateText(self.starts + digits)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Msisdn:
    """A payer's number. Only `digits` contains it in full, for the wire and for the encrypted column."""

    calling_code: str
    national: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "national", PrivateText(self.national))

    @property
    def digits(self) -> str:
        """Calling code and national number, digits only, no plus."""
        return PrivateText(self.calling_code + self.national)

    @property
    def ending(self) -> str:
        """The last two digits: enough to compare, too few to identify the payer."""
        return self.national[-2:]

    @property
    def masked(self) -> str:
        """`+229 01 •• •• •• 50`."""
        middle = _HIDDEN_MIDDLE.get(len(self.national), _USUAL_HIDDEN_MIDDLE)
        return f"+{self.calling_code} {self.national[:2]} {middle} {self.ending}"

    def __str__(self) -> str:
        return self.masked

    def __repr__(self) -> str:
        return f"Msisdn({self.masked!r})"


def parse(raw: str, rule: PhoneRule) -> Msisdn:
    """Parse a phone number. Raises: PhoneError.

    Accepts spaces, dots, dashes, slashes, parentheses and invisible marks anywhere; `+229`, `00229`, `229` or nothing
    in front; the calling code twice; and numbers from before a renumbering. If a national number begins with the digits
    of its own calling code, its length decides. ASCII digits only.
    """
    international, digits = _split(raw)
    for candidate in _candidates(digits, rule.calling_code, international):
        national = rule.national(candidate)
        if national is not None:
            return Msisdn(rule.calling_code, national)
    is_from_elsewhere = international or len(digits) - 3 == _NATIONAL_LENGTHS.get(digits[:3])
    raise PhoneError(
        "wrong_country" if is_from_elsewhere and not digits.startswith(rule.calling_code) else "wrong_length"
    )


def _split(raw: str) -> tuple[bool, str]:
    if not isinstance(raw, str) or len(raw) > _LONGEST_INPUT:
        raise PhoneError("invalid")
    match = _NUMBER.fullmatch(_SEPARATORS.sub("", _INVISIBLE.sub("", raw)))
    if match is None:
        raise PhoneError("invalid")
    return match[1] is not None, PrivateText(match[2])


def _candidates(digits: str, calling_code: str, international: bool) -> Iterator[str]:
    if not international:
        yield digits
    for times in (1, 2):
        if digits.startswith(calling_code * times):
            yield PrivateText(digits[len(calling_code) * times :])
