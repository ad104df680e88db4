"""Payers' numbers as they are typed: grouped, read, and matched with a provider, by the server's data alone.

The server judges; what is said here spares the payer a round trip. A prefix only ever suggests: numbers are ported.
"""

from __future__ import annotations

from collections.abc import Iterable

from feexpay_client.core.models import PhoneRule, Provider

_SEPARATORS = " \u00a0\u2009\u202f.-\u2010\u2011\u2012\u2013()/"
#: How national numbers are grouped, by length.
_GROUPS = {8: (2, 2, 2, 2), 9: (2, 3, 2, 2), 10: (2, 2, 2, 2, 2)}
_DOT = "\u2022"


def digits_of(text: str) -> str:
    """The ASCII digits of a text, in order."""
    return "".join(character for character in text if _is_digit(character))


def national(text: str, rule: PhoneRule) -> str:
    """The national digits of what was typed or pasted: `+229`, `00229` and `229` in front are taken off."""
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
    """With the country in front, so that the server need not guess; empty when there is no number."""
    digits = national(text, rule) if rule else ""
    return f"+{rule.calling_code}{digits}" if rule and rule.calling_code and digits else digits


def problem(text: str, rule: PhoneRule) -> str:
    """What is wrong with a number, as a key of `phone.…` in the locales; empty when nothing is."""
    if not rule.required:
        return ""
    if not text.strip():
        return "missing"
    if any(not _is_digit(character) and character not in _SEPARATORS for character in text.strip().removeprefix("+")):
        return "not_a_number"
    digits = digits_of(text)
    if _is_international(text) and not digits.removeprefix("00").startswith(rule.calling_code):
        return "other_country"
    length = len(national(text, rule))
    if length in rule.lengths:
        return ""
    return "too_short" if length < max(rule.lengths, default=0) else "too_long"


def grouped(digits: str, rule: PhoneRule) -> str:
    """National digits in the country's groups; the last group may be unfinished."""
    length = max(rule.lengths, default=10)
    parts, rest = [], digits
    for size in _GROUPS.get(length, (2,) * 10):
        if rest:
            parts.append(rest[:size])
            rest = rest[size:]
    return " ".join(parts + ([rest] if rest else []))


def as_typed(text: str, caret: int, rule: PhoneRule) -> tuple[str, int]:
    """What the field shows after a key, and where its caret stands: behind the same digit as before."""
    shown = grouped(national(text, rule), rule)
    behind = len(digits_of(text[caret:]))  # digits to the right of the caret stay to its right
    position, left = len(shown), behind
    while left:
        position -= 1
        left -= _is_digit(shown[position])
    return shown, position


def suggestion(text: str, chosen: Provider, providers: Iterable[Provider]) -> Provider | None:
    """Another provider of that country whose prefix the number has, when the chosen one's it has not."""
    digits = national(text, chosen.phone)
    if not digits or _matches(digits, chosen) or not chosen.phone.prefixes:
        return None
    fitting = (
        provider
        for provider in providers
        if provider.country == chosen.country and provider.kind == chosen.kind and provider.enabled
    )
    return next((provider for provider in fitting if _matches(digits, provider)), None)


def masked(text: str, rule: PhoneRule) -> str:
    """`+229 01 •• •• •• 50`: enough to recognise one's own."""
    parts = grouped(national(text, rule), rule).split(" ")
    hidden = [parts[0], *(_DOT * len(part) for part in parts[1:-1]), *parts[1:][-1:]]
    return f"+{rule.calling_code} {' '.join(hidden)}" if rule.calling_code else " ".join(hidden)


def _is_digit(character: str) -> bool:
    return character.isascii() and character.isdigit()


def _is_international(text: str) -> bool:
    return text.strip().startswith(("+", "00"))


def _matches(digits: str, provider: Provider) -> bool:
    return any(digits.startswith(prefix) for prefix in provider.phone.prefixes)
