"""Parse, check and group phone numbers by the rules that the server sends.

The server decides; these checks only save a request. A prefix only suggests a provider, because numbers are ported.
"""

from __future__ import annotations

from collections.abc import Iterable

from feexpay_client.core.models import PhoneRule, Provider
from feexpay_client.core.money import NBSP

_SEPARATORS = " \u00a0\u2009\u202f.-\u2010\u2011\u2012\u2013()/"
#: Address books put invisible direction marks around a number that is copied.
_INVISIBLE = dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF])
#: How national numbers are grouped, by length.
_GROUPS = {8: (2, 2, 2, 2), 9: (2, 3, 2, 2), 10: (2, 2, 2, 2, 2)}


def digits_of(text: str) -> str:
    return "".join(character for character in text if _is_digit(character))


def national(text: str, rule: PhoneRule) -> str:
    """The national digits of a typed or pasted number, without `+229`, `00229` or `229` in front."""
    digits = digits_of(text)
    if not rule.calling_code:
        return digits
    if _is_international(text) and digits.removeprefix("00").startswith(rule.calling_code):
        return digits.removeprefix("00").removeprefix(rule.calling_code)
    longer = len(digits) > max(rule.lengths, default=0)
    if longer and digits.startswith(rule.calling_code):
        return digits.removeprefix(rule.calling_code)
    return digits


def international(text: str, rule: PhoneRule | None) -> str:
    """The number with its country code; empty if there is no number."""
    digits = national(text, rule) if rule else ""
    return f"+{rule.calling_code}{digits}" if rule and rule.calling_code and digits else digits


def problem(text: str, rule: PhoneRule) -> str:
    """The error of a number, as a key of `phone.…` in the locales; empty if it is valid."""
    if not rule.required:
        return ""
    visible = _visible(text)
    if not visible:
        return "missing"
    if any(not _is_digit(character) and character not in _SEPARATORS for character in visible.removeprefix("+")):
        return "not_a_number"
    digits = digits_of(text)
    if _is_international(text) and not digits.removeprefix("00").startswith(rule.calling_code):
        return "other_country"
    length = len(national(text, rule))
    if length in rule.lengths:
        return ""
    return "too_short" if length < max(rule.lengths, default=0) else "too_long"


def grouped(digits: str, rule: PhoneRule) -> str:
    """Group national digits as the country does; the last group may be incomplete."""
    length = max(rule.lengths, default=10)
    parts, rest = [], digits
    for size in _GROUPS.get(length, (2,) * 10):
        if rest:
            parts.append(rest[:size])
            rest = rest[size:]
    return " ".join(parts + ([rest] if rest else []))


def as_typed(text: str, rule: PhoneRule) -> str:
    """What the field shows while the payer types: the national digits in groups.

    A number that begins with `+` or `00` stays as it is until its country code is complete, and for good if it is of
    another country: dropping the `+` would turn it into a wrong number.
    """
    if not _is_international(text):
        return grouped(national(text, rule), rule)
    digits = digits_of(text)
    if digits.removeprefix("00").startswith(rule.calling_code):
        return grouped(national(text, rule), rule)
    return f"+{digits}" if _visible(text).startswith("+") else digits


def country_of(text: str, providers: Iterable[Provider]) -> str:
    """The country (ISO 3166) of a number with a country code; empty without one, or if no provider is there."""
    if not _is_international(text):
        return ""
    digits = digits_of(text).removeprefix("00")
    for provider in providers:
        code = provider.phone.calling_code
        if provider.country and code and digits.startswith(code) and len(digits) > len(code):
            return provider.country
    return ""


def in_groups(number: str, rule: PhoneRule) -> str:
    """A full number for reading, which is never wrapped: `+229 01 97 00 00 00`."""
    shown = f"+{rule.calling_code} {grouped(national(number, rule), rule)}" if rule.calling_code else number
    return shown.replace(" ", NBSP)


def fits_mask(number: str, masked: str) -> bool:
    """The number may be the masked one: its first and last digits are the same."""
    head, dots, tail = masked.partition("•")
    first, last, digits = digits_of(head), digits_of(tail), digits_of(number)
    return bool(dots and first and last) and digits.startswith(first) and digits.endswith(last)


def suggestion(text: str, chosen: Provider, providers: Iterable[Provider]) -> Provider | None:
    """Another provider of the same country, if the number has its prefix and none of the chosen provider's."""
    digits = national(text, chosen.phone)
    if not digits or _matches(digits, chosen) or not chosen.phone.prefixes:
        return None
    fitting = (
        provider
        for provider in providers
        if provider.country == chosen.country and provider.kind == chosen.kind and provider.enabled
    )
    return next((provider for provider in fitting if _matches(digits, provider)), None)


def _is_digit(character: str) -> bool:
    return character.isascii() and character.isdigit()


def _visible(text: str) -> str:
    return text.translate(_INVISIBLE).strip()


def _is_international(text: str) -> bool:
    return _visible(text).startswith(("+", "00"))


def has_prefix(text: str, provider: Provider) -> bool:
    """The number begins as this provider's numbers do."""
    return _matches(national(text, provider.phone), provider)


def _matches(digits: str, provider: Provider) -> bool:
    return any(digits.startswith(prefix) for prefix in provider.phone.prefixes)
