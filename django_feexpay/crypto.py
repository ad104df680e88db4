"""Secrets: a wrapper that never prints its value, encryption of personal fields, and the keyed hash of an msisdn.

Encryption lets the worker send an msisdn later and delete it when it is no longer needed. The keyed hash lets staff
find a payer's payments without storing the msisdn. An unkeyed hash would not protect it: a country has few numbers.
Everything encrypted or hashed begins with the id of its key and a colon, so that rows of an old key can be found. Rows
that were written before there were key ids have neither.
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


# --- key ids ------------------------------------------------------------------------------------------

KEY_ID_LENGTH = 8


def key_id(key: Secret) -> str:
    """Eight hex digits that tell keys apart and reveal none: 32 bits of a hash of 256 random bits."""
    return hashlib.sha256(b"django-feexpay key id " + PrivateBytes(key.reveal().encode())).hexdigest()[:KEY_ID_LENGTH]


def prefix_of(key: Secret) -> str:
    """The prefix of everything that this key encrypted or hashed."""
    return f"{key_id(key)}:"


# --- encryption ---------------------------------------------------------------------------------------


def encrypt(plain: Mapping[str, str], keys: Sequence[Secret]) -> bytes:
    """Encrypt a small dict of strings with the first key: its id and a Fernet token."""
    token = _fernet(keys).encrypt(PrivateBytes(json.dumps(dict(plain)).encode()))
    return prefix_of(keys[0]).encode() + token


def decrypt(sealed: bytes, keys: Sequence[Secret]) -> dict[str, str]:
    """Decrypt with any of the keys. Raises: UnreadableError."""
    try:
        plain: dict[str, str] = json.loads(_fernet(keys).decrypt(_token(sealed)))
    except InvalidToken:
        raise UnreadableError("no key of FIELD_KEYS decrypts this value") from None
    return {name: PrivateText(value) for name, value in plain.items()}


def reencrypt(sealed: bytes, keys: Sequence[Secret]) -> bytes:
    """Encrypt with the first key what any of the keys decrypts; unchanged if the first key encrypted it.

    Raises: UnreadableError.
    """
    prefix = prefix_of(keys[0]).encode()
    if sealed.startswith(prefix):
        return sealed
    try:
        return prefix + _fernet(keys).rotate(_token(sealed))
    except InvalidToken:
        raise UnreadableError("no key of FIELD_KEYS decrypts this value") from None


def _token(sealed: bytes) -> bytes:
    """The Fernet token, which is base64 and so holds no colon."""
    return sealed.rpartition(b":")[2]


def _fernet(keys: Sequence[Secret]) -> MultiFernet:
    return MultiFernet([Fernet(key.reveal()) for key in keys])


# --- the keyed hash -----------------------------------------------------------------------------------


def keyed_hash(text: str, key: Secret) -> str:
    """The id of the key and an HMAC-SHA256 in hex; equal for equal texts, useless without the key."""
    return prefix_of(key) + _hmac(text, key)


def keyed_hashes(text: str, keys: Sequence[Secret]) -> tuple[str, ...]:
    """Every value under which this text may be stored, the newest key's first: with each key, with and without its id.

    Search for all of them, so that rows of an old key are found until they are rotated.
    """
    return tuple(prefix + _hmac(text, key) for key in keys for prefix in (prefix_of(key), ""))


def is_of_unknown_key(stored: str, keys: Sequence[Secret]) -> bool:
    """Whether a keyed hash was made with a key that is not among these: nothing can be compared with it."""
    name, colon, _hash = stored.partition(":")
    return bool(colon) and name not in {key_id(key) for key in keys}


def _hmac(text: str, key: Secret) -> str:
    return hmac.new(PrivateBytes(key.reveal().encode()), PrivateBytes(text.encode()), hashlib.sha256).hexdigest()
