"""Columns with personal data: encrypted strings, and the keyed hash of a phone number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models

from django_feexpay import crypto
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.conf import feexpay

if TYPE_CHECKING:
    SealedBase = models.BinaryField[Any, "Sealed | None"]
else:
    SealedBase = models.BinaryField


#: The length of the columns with a keyed hash: 8 of the key's id, a colon, 64 of the hash.
HASH_LENGTH = 80


def hash_msisdn(msisdn: Msisdn | None) -> str:
    """The value of the `msisdn_hash` columns; "" for a card, which has no number."""
    return crypto.keyed_hash(msisdn.digits, feexpay.hash_keys[0]) if msisdn else ""


def msisdn_hashes(msisdn: Msisdn | None) -> tuple[str, ...]:
    """Every value that the `msisdn_hash` columns may have for this number, by any of HASH_KEY; () for a card."""
    return crypto.keyed_hashes(msisdn.digits, feexpay.hash_keys) if msisdn else ()


def seal_msisdn(msisdn: Msisdn | None) -> Sealed | None:
    """The value of the `msisdn_sealed` columns; None for a card."""
    return Sealed.of({"calling_code": msisdn.calling_code, "national": msisdn.national}) if msisdn else None


class Sealed:
    """Encrypted strings. Only `open()` decrypts them: loading a row needs no key and reveals nothing.

    `token`: as `crypto.encrypt` makes it.
    """

    __slots__ = ("token",)

    def __init__(self, token: bytes) -> None:
        self.token = token

    @classmethod
    def of(cls, plain: Mapping[str, str]) -> Sealed:
        return cls(crypto.encrypt(plain, feexpay.field_keys))

    def open(self) -> dict[str, str]:
        """Decrypt. Raises: crypto.UnreadableError when no key of FIELD_KEYS decrypts them."""
        return crypto.decrypt(self.token, feexpay.field_keys)

    def rotated(self) -> Sealed:
        """The same strings, encrypted with the first key. Raises: crypto.UnreadableError."""
        return Sealed(crypto.reencrypt(self.token, feexpay.field_keys))

    def __repr__(self) -> str:
        return "Sealed(•••)"


class SealedField(SealedBase):
    """A `Sealed`, or NULL when it was erased."""

    description = "Encrypted strings"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Sealed | None:
        return None if value is None else Sealed(bytes(value))

    def get_prep_value(self, value: Any) -> Any:
        if value is not None and not isinstance(value, Sealed):
            raise ValidationError("this column takes a Sealed, never plain text")
        return super().get_prep_value(None if value is None else value.token)
