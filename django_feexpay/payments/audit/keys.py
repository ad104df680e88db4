"""The keys of the chains, derived from AUDIT_KEYS, or from HASH_KEY if it is not set.

Each row stores the id of its key. A new key may therefore be put first at any time: it makes the hashes of new rows,
and the older keys still prove the older rows. When a key is removed from AUDIT_KEYS, its rows can no longer be proved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from django_feexpay.conf import feexpay
from django_feexpay.crypto import Secret
from django_feexpay.private import PrivateBytes

_ID_LENGTH = 12


@dataclass(frozen=True, slots=True)
class AuditKey:
    """`id`: tells keys apart and reveals nothing. `chains` and `anchors`: a derived key for each purpose."""

    id: str
    chains: bytes = field(repr=False)
    anchors: bytes = field(repr=False)


def signing_key() -> AuditKey:
    """The key that makes the hashes of new rows. Raises: ImproperlyConfigured outside development without any key."""
    return _derived(feexpay.audit_keys[0])


def known_keys() -> Mapping[str, AuditKey]:
    """Every key that may prove a row, by id. Raises: as `signing_key`."""
    keys = [_derived(secret) for secret in feexpay.audit_keys]
    return {key.id: key for key in keys}


@lru_cache(maxsize=32)
def _derived(secret: Secret) -> AuditKey:
    chains, anchors = (_hkdf(secret, purpose) for purpose in (b"chains", b"anchors"))
    return AuditKey(hashlib.sha256(b"id of " + chains).hexdigest()[:_ID_LENGTH], chains, anchors)


def _hkdf(secret: Secret, purpose: bytes) -> PrivateBytes:
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"django_feexpay audit " + purpose)
    return PrivateBytes(derive.derive(secret.reveal().encode()))
