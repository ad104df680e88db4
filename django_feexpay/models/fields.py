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


def hash_msisdn(msisdn: Msisdn | None) -> str:
    """The value of the `msisdn_hash` columns; "" for a card, which has no number."""
    return crypto.keyed_hash(msisdn.digits, feexpay.hash_key) if msisdn else ""


class Sealed:
    """Encrypted strings. Only `open()` decrypts them: loading a row needs no key and reveals nothing."""

    __slots__ = ("token",)

    def __init__(self, token: bytes) -> None:
        self.token = token

    @classmethod
    def of(cls, plain: Mapping[str, str]) -> Sealed:
        return cls(crypto.encrypt(plain, feexpay.field_keys))

    def open(self) -> dict[str, str]:
        """Decrypt. Raises: crypto.UnreadableError when no key of FIELD_KEYS decrypts them."""
        return crypto.decrypt(self.token, feexpay.field_keys)

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
