"""Values that must not be shown: a wrapper that never prints, and the two keyed functions over a msisdn.

The cipher lets us send a msisdn later and be rid of it when it is no longer needed; the keyed hash lets staff
find a payer's payments without keeping the msisdn. An unkeyed hash would protect nothing: there are too few
numbers in a country.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import NoReturn

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from django_feexpay.private import PrivateBytes, PrivateText


class Secret:
    """A string that shows itself only when asked by `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = PrivateText(value)

    def reveal(self) -> str:
        """The string itself, whose repr stays masked."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(•••)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not to be pickled: it would end in a queue or a cache")


class UnreadableError(Exception):
    """A ciphertext that none of our keys opens: a key was taken out of FIELD_KEYS too early."""


def encrypt(plain: Mapping[str, str], keys: Sequence[Secret]) -> bytes:
    """Fernet token over a small object of strings, made with the first key."""
    return _fernet(keys).encrypt(PrivateBytes(json.dumps(dict(plain)).encode()))


def decrypt(token: bytes, keys: Sequence[Secret]) -> dict[str, str]:
    """The object back, with whichever key opens it. Raises UnreadableError."""
    try:
        plain: dict[str, str] = json.loads(_fernet(keys).decrypt(token))
    except InvalidToken:
        raise UnreadableError("no key of FIELD_KEYS opens this value") from None
    return {name: PrivateText(value) for name, value in plain.items()}


def keyed_hash(msisdn: str, key: Secret) -> str:
    """HMAC-SHA256 of the digits, hex; equal for equal numbers, useless without the key."""
    return hmac.new(key.reveal().encode(), msisdn.encode(), hashlib.sha256).hexdigest()


def _fernet(keys: Sequence[Secret]) -> MultiFernet:
    return MultiFernet([Fernet(key.reveal()) for key in keys])
