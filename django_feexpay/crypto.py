"""Secrets: a wrapper that never prints its value, encryption of personal fields, and the keyed hash of a msisdn.

Encryption lets the worker send a msisdn later and delete it when it is no longer needed. The keyed hash lets staff find
a payer's payments without storing the msisdn. An unkeyed hash would not protect it: a country has few numbers.
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
    """A string that only `reveal()` returns."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = PrivateText(value)

    def reveal(self) -> str:
        """The string, whose repr stays masked."""
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
        raise TypeError("a Secret must not be pickled: it would be stored in a queue or a cache")


class UnreadableError(Exception):
    """No key of FIELD_KEYS decrypts this value: a key was removed from FIELD_KEYS too early."""


def encrypt(plain: Mapping[str, str], keys: Sequence[Secret]) -> bytes:
    """Encrypt a small dict of strings with the first key; a Fernet token."""
    return _fernet(keys).encrypt(PrivateBytes(json.dumps(dict(plain)).encode()))


def decrypt(token: bytes, keys: Sequence[Secret]) -> dict[str, str]:
    """Decrypt a token with any of the keys. Raises: UnreadableError."""
    try:
        plain: dict[str, str] = json.loads(_fernet(keys).decrypt(token))
    except InvalidToken:
        raise UnreadableError("no key of FIELD_KEYS decrypts this value") from None
    return {name: PrivateText(value) for name, value in plain.items()}


def keyed_hash(msisdn: str, key: Secret) -> str:
    """HMAC-SHA256 in hex; equal for equal numbers, useless without the key."""
    return hmac.new(key.reveal().encode(), msisdn.encode(), hashlib.sha256).hexdigest()


def _fernet(keys: Sequence[Secret]) -> MultiFernet:
    return MultiFernet([Fernet(key.reveal()) for key in keys])
