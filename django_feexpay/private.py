"""Strings, bytes and dicts whose repr hides their content.

Error reports contain the local variables of every frame: Sentry's by default, Django's in its HTML mail to ADMINS.
Django's `sensitive_variables` protects only Django's reports. So a payer's phone number, name, mail and OTP, our
keys and whole bodies get these types as soon as they are read, and an error report shows `PrivateText(•••)`.

`str()`, formatting and slicing return plain values: wrap them again if you keep them in a variable.
"""

from __future__ import annotations

from typing import Any

MASK = "•••"


class _Masked:
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({MASK})"

    #: Sentry calls this before it reads a mapping, and for request bodies.
    __sentry_repr__ = __repr__


class PrivateText(_Masked, str):
    """Text that compares, encodes and is stored like any other text, but is hidden in a repr."""

    __slots__ = ()


class PrivateBytes(_Masked, bytes):
    """Bytes that are hashed, compared and sent like any other bytes, but are hidden in a repr."""

    __slots__ = ()


class PrivateDict(_Masked, dict[str, Any]):
    """A dict whose repr shows neither keys nor values."""

    __slots__ = ()


def private(value: Any) -> Any:
    """Wrap the strings and objects of a JSON value. A number is hidden only inside an object."""
    if isinstance(value, _Masked):
        return value
    if isinstance(value, str):
        return PrivateText(value)
    if isinstance(value, dict):
        return PrivateDict({name: private(item) for name, item in value.items()})
    if isinstance(value, list):
        return [private(item) for item in value]
    return value
