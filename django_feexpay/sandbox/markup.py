"""HTML from the files in templates/: every value is escaped unless it is `Markup` already."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.resources import files
from string import Template


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


EMPTY = Markup("")


def fill(template: str, **values: object) -> Markup:
    """The template with its `$names` replaced; a name without a value is a `KeyError`."""
    safe = {name: value if isinstance(value, Markup) else escape(str(value)) for name, value in values.items()}
    return Markup(_template(template).substitute(safe))


def join(pieces: Iterable[Markup]) -> Markup:
    return Markup("".join(pieces))


def asset(name: str) -> bytes:
    return (files(__package__) / "assets" / name).read_bytes()


@cache
def _template(name: str) -> Template:
    return Template((files(__package__) / "templates" / f"{name}.html").read_text("utf-8"))
