"""Values that work like their built-in types and never show their content in a repr.

An error reporter writes down the local variables of every frame: Sentry does so by default, Django does in its HTML
mail to ADMINS. Marking functions as sensitive helps against Django alone. So a payer's number, name, mail and code, our
keys, and whole bodies travel as these types from the moment they are read: whatever fails, the report shows
`PrivateText(•••)`.

`str()`, formatting and slicing give plain values back: wrap those again where they are kept in a variable.
"""

from __future__ import annotations

from typing import Any

MASK = "•••"


class _Masked:
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({MASK})"

    #: Sentry asks for this before it looks inside a mapping, and in bodies of requests instead of the content.
    __sentry_repr__ = __repr__


class PrivateText(_Masked, str):
    """Text that compares, encodes and is stored like any other."""

    __slots__ = ()


class PrivateBytes(_Masked, bytes):
    """Bytes that are hashed, compared and sent like any others."""

    __slots__ = ()


class PrivateDict(_Masked, dict[str, Any]):
    """A dict whose repr shows neither its names nor its values."""

    __slots__ = ()


def private(value: Any) -> Any:
    """A JSON value with its texts and objects masked; numbers are hidden only inside an object."""
    if isinstance(value, _Masked):
        return value
    if isinstance(value, str):
        return PrivateText(value)
    if isinstance(value, dict):
        return PrivateDict({name: private(item) for name, item in value.items()})
    if isinstance(value, list):
        return [private(item) for item in value]
    return value
