"""Charts as SVG: positions in whole units of the view box, colours by class, no script and no style attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 160
_GAP = 4
_WIDEST = 64


@dataclass(frozen=True, slots=True)
class Part:
    """One coloured rectangle of a column; `kind` is its class."""

    kind: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column with the words that a pointer or a screen reader gets, and the list behind it ("" for none)."""

    words: str
    url: str
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Stack:
    """What a column shows: `values` from the bottom up, by kind."""

    words: str
    url: str
    values: dict[str, int]


def columns(stacks: Sequence[Stack]) -> list[Column]:
    """The stacks side by side; the highest fills the chart. A value above zero is at least two units high."""
    most = max((sum(stack.values.values()) for stack in stacks), default=0)
    step = WIDTH // max(1, len(stacks))
    width = min(_WIDEST, step - _GAP)
    return [_column(stack, number * step + (step - width) // 2, width, most) for number, stack in enumerate(stacks)]


def _column(stack: Stack, x: int, width: int, most: int) -> Column:
    parts, top = [], HEIGHT
    for kind, value in stack.values.items():
        if value:
            height = max(2, value * (HEIGHT - 8) // most)
            top -= height
            parts.append(Part(kind, x, top, width, height))
    return Column(stack.words, stack.url, parts)
