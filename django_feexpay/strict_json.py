"""Reading a JSON body that a stranger wrote: one object, nothing ambiguous, nothing a database cannot keep."""

from __future__ import annotations

import json
import re
from typing import Any

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


class MalformedBodyError(ValueError):
    """The body is not one clean JSON object. The message may be shown to the sender; it quotes nothing."""


class BodyTooLargeError(ValueError):
    """More than MAX_BYTES."""


def load(raw: bytes) -> dict[str, Any]:
    """The object in `raw`.

    Refused: other encodings than UTF-8, a byte-order mark, more than one value, anything but an object, a key given
    twice, NaN and Infinity, nesting beyond MAX_DEPTH, NUL and lone surrogates in any string, numbers of
    absurd length. Raises: MalformedBodyError, BodyTooLargeError.
    """
    if len(raw) > MAX_BYTES:
        raise BodyTooLargeError(f"at most {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedBodyError("not UTF-8") from None
    if _depth(text) > MAX_DEPTH:
        raise MalformedBodyError(f"nested deeper than {MAX_DEPTH}")
    return _object(text)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except MalformedBodyError:
        raise
    except ValueError:  # also an integer of thousands of digits
        raise MalformedBodyError("not JSON") from None
    if not isinstance(value, dict):
        raise MalformedBodyError("not a JSON object")
    _refuse_unstorable(value)
    return value


def _depth(text: str) -> int:
    """Deepest nesting, found before the recursive parser sees it; brackets inside strings do not count."""
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two parsers may disagree on which of two equal keys counts: so neither does."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedBodyError("a key is given twice")
    return result


def _refuse_constant(name: str) -> Any:
    raise MalformedBodyError("NaN and Infinity are not JSON")


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
            raise MalformedBodyError("a string holds a NUL or half a character")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)
