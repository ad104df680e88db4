from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.strict_json import BodyTooLargeError, MalformedBodyError, load

#: Whole characters, without NUL.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def padded(length: int) -> bytes:
    return b"{" + b" " * (length - 2) + b"}"


def test_32_levels_are_read_and_33_are_not() -> None:
    assert "a" in load(nested(32))
    with pytest.raises(MalformedBodyError):
        load(nested(33))


def test_brackets_in_a_string_are_no_levels() -> None:
    assert load(b'{"a":"' + b"[" * 100 + b'\\"' + b"{" * 100 + b'"}')["a"] == "[" * 100 + '"' + "{" * 100


def test_64_kilobytes_are_read_and_one_more_is_not() -> None:
    assert load(padded(65536)) == {}
    with pytest.raises(BodyTooLargeError):
        load(padded(65537))


def test_whole_characters_beyond_the_basic_plane_are_read() -> None:
    assert load(b'{"a":"\\ud83d\\ude00"}') == {"a": "😀"}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"' + b'\\"' * 32_700,
        b'"\\' * 32_700,
        b'{"a":' * 13_000,
        b'{"a":' + b"9" * 65_000 + b"}",
        b'{"a":0.' + b"9" * 65_000 + b"}",
        b"\\" * 65_000,
    ],
    ids=["escaped quotes", "open quotes", "open objects", "digits", "decimals", "backslashes"],
)
def test_hostile_body_is_read_fast(raw: bytes) -> None:
    begun = time.process_time()

    with contextlib.suppress(MalformedBodyError):
        load(raw)

    # CPU time, not wall time. A parser that backtracks takes thirty seconds.
    assert time.process_time() - begun < 3


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(MalformedBodyError):
        assert isinstance(load(raw), dict)


@given(st.dictionaries(TEXT, JSON_VALUES, max_size=4))
def test_valid_object_is_read_unchanged(value: dict[str, object]) -> None:
    assert load(json.dumps(value).encode()) == value
