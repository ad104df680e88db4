"""Private values hide their content from every report, and stay usable."""

from __future__ import annotations

import json

import pytest

from django_feexpay.private import MASK, PrivateBytes, PrivateDict, PrivateText, private

CANARY = "0197000050"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (PrivateText(CANARY), "PrivateText(•••)"),
        (PrivateBytes(CANARY.encode()), "PrivateBytes(•••)"),
        (PrivateDict({CANARY: CANARY}), "PrivateDict(•••)"),
    ],
)
def test_repr_hides_the_content_also_from_sentry(value: object, shown: str) -> None:
    assert repr(value) == value.__sentry_repr__() == f"{[value]}"[1:-1] == shown  # type: ignore[attr-defined]
    assert MASK == "•••"


def test_private_values_are_used_like_plain_ones() -> None:
    assert PrivateText(CANARY) == CANARY
    assert PrivateText(CANARY).encode() == PrivateBytes(CANARY.encode()) == CANARY.encode()
    assert json.dumps(PrivateDict(a=PrivateText("b"))) == '{"a": "b"}'


def test_json_value_is_wrapped_at_every_depth() -> None:
    wrapped = private({"a": CANARY, "b": [CANARY, {"c": CANARY}, 7, None]})

    assert wrapped == {"a": CANARY, "b": [CANARY, {"c": CANARY}, 7, None]}
    assert type(wrapped) is PrivateDict
    assert [type(wrapped["a"]), type(wrapped["b"][0]), type(wrapped["b"][1])] == [PrivateText, PrivateText, PrivateDict]
    assert type(wrapped["b"][1]["c"]) is PrivateText
    assert wrapped["b"][2:] == [7, None]


@pytest.mark.parametrize("value", [PrivateText("a"), PrivateBytes(b"a"), PrivateDict(a=1)])
def test_wrapped_value_is_returned_as_it_is(value: object) -> None:
    assert private(value) is value
