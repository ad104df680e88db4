"""Strict parser for JSON request bodies: one unambiguous object that any database can store."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from django.utils.translation import gettext as _

from django_feexpay.private import PrivateDict, PrivateText, private

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32

# `*+` and the optional closing quote avoid backtracking: without them 64 kB of escaped quotes take half a minute.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class MalformedBodyError(ValueError):
    """The body is not one valid JSON object. The message quotes nothing of it, so a client may see the message."""


class BodyTooLargeError(ValueError):
    """More than MAX_BYTES."""


def load(raw: bytes) -> dict[str, Any]:
    """Parse one JSON object. Its values are masked by `private`.

    Raises: BodyTooLargeError, and MalformedBodyError for other encodings than UTF-8, a byte-order mark, anything but
    one object, a duplicate key, NaN and Infinity, nesting beyond MAX_DEPTH, NUL and lone surrogates in any string, and
    numbers that overflow.
    """
    if len(raw) > MAX_BYTES:
        raise BodyTooLargeError(_("The body may have %d bytes at most.") % MAX_BYTES)
    try:
        text = PrivateText(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise MalformedBodyError(_("The body is not UTF-8.")) from None
    if _depth(text) > MAX_DEPTH:
        raise MalformedBodyError(_("The body is nested deeper than %d levels.") % MAX_DEPTH)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant)
    except MalformedBodyError:
        raise
    except ValueError:  # also for an integer of thousands of digits
        raise MalformedBodyError(_("The body is not JSON.")) from None
    if not isinstance(value, dict):
        raise MalformedBodyError(_("The body is not a JSON object."))
    _refuse_unstorable(value)
    return value


def _depth(text: str) -> int:
    """Nesting depth, measured before the recursive parser runs; brackets inside strings do not count."""
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys: parsers disagree on which value counts."""
    result = PrivateDict((name, private(value)) for name, value in pairs)
    if len(result) != len(pairs):
        raise MalformedBodyError(_("A key is given twice."))
    return result


def _finite(digits: str) -> float:
    """Refuse numbers like 1e400: they are valid JSON, but Python reads Infinity, which no JSON column accepts."""
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedBodyError(_("A number is too large."))
    return number


def _refuse_constant(name: str) -> Any:
    raise MalformedBodyError(_("NaN and Infinity are not JSON."))


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise MalformedBodyError(_("A text contains a NUL or an incomplete character."))
    elif isinstance(value, dict | list):
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _refuse_unstorable(item)
