"""Marker secrets and marker numbers, and the search for them in any text.

A marker is found in plain, in any letter case, url-encoded, in base64 and in hexadecimal. A phone number is found in
every usual writing: with and without its country code, grouped by spaces, dots or dashes, in the old eight digits.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote_plus

#: What may stand between two digits of a written number.
_GAPS = " \t\n.-_/()\u00a0\u202f\u2009\u2011"
_GAP = f"[{re.escape(_GAPS)}]{{0,3}}"
#: A shorter part of a marker in base64 might appear by chance.
_SHORTEST_PART = 8


@dataclass(frozen=True, slots=True)
class Number:
    """A phone number. `old`: the eight digits without the leading 01 of Benin's new numbers."""

    calling_code: str
    national: str

    @property
    def old(self) -> str:
        return self.national[-8:]

    @property
    def written(self) -> str:
        pairs = " ".join(self.national[place : place + 2] for place in range(0, len(self.national), 2))
        return f"+{self.calling_code} {pairs}"

    @property
    def digits(self) -> str:
        return self.calling_code + self.national

    @property
    def old_pattern(self) -> re.Pattern[str]:
        """The eight digits with no other digit beside them: eight digits may stand in a longer number by chance."""
        return re.compile(rf"(?<![\d.])(?:0?1{_GAP})?{_GAP.join(self.old)}(?!\d)")

    def writings(self) -> tuple[str, ...]:
        return self.written, self.digits, self.national, self.old, self.written.replace(" ", "-")


#: Payers of the walk. The sandbox waits for those that end with 50.
PAYER, BURKINABE = Number("229", "0161843950"), Number("226", "74987350")
#: Typed by staff, and named by a webhook.
SOUGHT, TOLD = Number("229", "0197538642"), Number("229", "0166472938")
NUMBERS = (PAYER, BURKINABE, SOUGHT, TOLD)

OTP = "7382910465"
FIRST_NAME, LAST_NAME, EMAIL = "Zebulonide", "Quackenbusch", "zeb.quack@canary.test"
PASSWORD, NEW_PASSWORD = "canary-password-of-ama", "canary-password-typed-wrong"

API_KEY = "test_canaryOfTheApiKey29Xw"
HEADER, URL_TOKEN = "Bearer canaryOfTheHeader81Tq", "canaryOfTheUrlToken47Zs"
SECRET_KEY = "canary-of-the-secret-key-" + "k9Lw2x" * 8
HASH_KEY = "canary-of-the-hash-key-long-enough-to-be-one"
FIELD_KEY = base64.urlsafe_b64encode(b"canary-of-the-field-key-32-bytes").decode()
PROXY_PASSWORD = "canaryOfTheProxy63"

#: What a client puts after a line break, to write a line of its own into a log.
FORGED_LINE = "INFO forged payment credited"

TEXTS = {
    "one-time code": OTP,
    "first name": FIRST_NAME,
    "last name": LAST_NAME,
    "e-mail address": EMAIL,
    "password": PASSWORD,
    "wrong password": NEW_PASSWORD,
    "API key": API_KEY,
    "webhook header": HEADER.removeprefix("Bearer "),
    "webhook URL token": URL_TOKEN,
    "SECRET_KEY": SECRET_KEY,
    "HASH_KEY": HASH_KEY,
    "FIELD_KEYS": FIELD_KEY,
}


def found_in(text: str, *, also: dict[str, str] | None = None) -> set[str]:
    """The names of the markers in a text. `also`: further markers, for values that the walk made."""
    readings = {text, unquote_plus(text), _unescaped(text)}
    return set().union(*(_found_in_reading(reading, TEXTS | (also or {})) for reading in readings))


def _found_in_reading(text: str, texts: dict[str, str]) -> set[str]:
    lower, squeezed = text.lower(), text
    for gap in _GAPS:
        squeezed = squeezed.replace(gap, "")
    found = set()
    for name, value in texts.items():
        if value.lower() in lower or value.encode().hex() in lower or any(part in text for part in _encoded(value)):
            found.add(name)
    for number in NUMBERS:
        whole = (number.digits, number.national, number.calling_code + number.old)
        is_whole = any(len(digits) > 8 and digits in squeezed for digits in whole)
        is_encoded = any(
            part in text for written in number.writings() for part in (*_encoded(written), written.encode().hex())
        )
        if is_whole or is_encoded or (number.old in squeezed and number.old_pattern.search(text)):
            found.add(f"number {number.written}")
    return found


def _unescaped(text: str) -> str:
    """The text with `\\u0041` and `\\x41` read, as in JSON and in the repr of bytes."""
    return re.sub(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1] or match[2], 16)), text)


@cache
def _encoded(value: str) -> tuple[str, ...]:
    """The base64 texts of which each value is a part."""
    parts = [_inside_base64(value.encode(), shift) for shift in range(3)]
    urlsafe = [part.replace("+", "-").replace("/", "_") for part in parts]
    return tuple(part for part in (*parts, *urlsafe) if len(part) >= _SHORTEST_PART)


def _inside_base64(value: bytes, shift: int) -> str:
    """The characters that `value` alone decides, where it begins `shift` bytes after a group of three."""
    whole = base64.b64encode(b"\0" * shift + value).decode().rstrip("=")
    return whole[-(-8 * shift // 6) : 8 * (shift + len(value)) // 6]
