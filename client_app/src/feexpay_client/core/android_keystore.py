"""Store the session on Android, encrypted with an AES key of the AndroidKeyStore.

The ciphertext is in the app's folder. If it cannot be decrypted (a restored backup, a changed screen lock), it is
deleted and the payer signs in again. Not covered by tests: written from Android's documentation, never run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from feexpay_client.core.disk import write_whole

_ALIAS = "feexpay-client-session"
_TAG_BITS, _IV_BYTES = 128, 12


class AndroidVault:
    """A `tokens.Vault` that uses AndroidKeyStore through pyjnius."""

    def __init__(self, folder: Path) -> None:
        from jnius import autoclass

        self._class = autoclass
        self._folder = folder
        self._key = self._existing_key() or self._new_key()

    def read(self, server: str) -> str | None:
        path = self._path(server)
        if not path.exists():
            return None
        sealed = path.read_bytes()
        try:
            cipher = self._cipher(decrypt_with=sealed[:_IV_BYTES])
            return bytes(cipher.doFinal(sealed[_IV_BYTES:])).decode()
        except Exception:  # pyjnius raises JavaException for everything: the key has changed
            path.unlink()
            return None

    def write(self, server: str, secret: str) -> None:
        cipher = self._cipher(decrypt_with=None)
        sealed = bytes(cipher.doFinal(secret.encode()))
        write_whole(self._path(server), bytes(cipher.getIV()) + sealed)

    def remove(self, server: str) -> None:
        self._path(server).unlink(missing_ok=True)

    def _path(self, server: str) -> Path:
        return self._folder / f"session-{hashlib.sha256(server.encode()).hexdigest()[:20]}"

    def _existing_key(self) -> Any:
        store = self._class("java.security.KeyStore").getInstance("AndroidKeyStore")
        store.load(None)
        return store.getKey(_ALIAS, None)

    def _new_key(self) -> Any:
        properties = self._class("android.security.keystore.KeyProperties")
        builder = self._class("android.security.keystore.KeyGenParameterSpec$Builder")
        purposes = properties.PURPOSE_ENCRYPT | properties.PURPOSE_DECRYPT
        spec = builder(_ALIAS, purposes).setBlockModes(properties.BLOCK_MODE_GCM)
        spec = spec.setEncryptionPaddings(properties.ENCRYPTION_PADDING_NONE).build()
        generator = self._class("javax.crypto.KeyGenerator").getInstance("AES", "AndroidKeyStore")
        generator.init(spec)
        return generator.generateKey()

    def _cipher(self, *, decrypt_with: bytes | None) -> Any:
        kind = self._class("javax.crypto.Cipher")
        cipher = kind.getInstance("AES/GCM/NoPadding")
        if decrypt_with is None:
            cipher.init(kind.ENCRYPT_MODE, self._key)
        else:
            parameters = self._class("javax.crypto.spec.GCMParameterSpec")(_TAG_BITS, decrypt_with)
            cipher.init(kind.DECRYPT_MODE, self._key, parameters)
        return cipher
