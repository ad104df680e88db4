"""Where the session is kept between two starts: the system's keyring, Android's keystore, or memory, said in the open.

Never a plain file. Nothing here logs or shows a token.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from feexpay_client.core.errors import Garbage
from feexpay_client.core.json_reader import Fields
from feexpay_client.core.models import Credentials

T = TypeVar("T")

_SERVICE = "feexpay-client"
#: A keyring may ask the user something, or its daemon may hang.
_PATIENCE_SECONDS = 3.0


class Vault(Protocol):
    """A place for one secret text a server. Blocking. May raise anything: that place is not to be had then."""

    def read(self, server: str) -> str | None: ...
    def write(self, server: str, secret: str) -> None: ...
    def remove(self, server: str) -> None: ...


class KeyringVault:
    """The desktop's own: Secret Service, Keychain, Credential Locker."""

    def __init__(self) -> None:
        import keyring  # an extra: missing means memory
        from keyring.backends import fail

        backend = keyring.get_keyring()
        # keyrings.alt would quietly be a plain file.
        if isinstance(backend, fail.Keyring) or type(backend).__module__.startswith("keyrings.alt"):
            raise RuntimeError("no keyring")
        self._keyring = keyring

    def read(self, server: str) -> str | None:
        secret: str | None = self._keyring.get_password(_SERVICE, server)
        return secret

    def write(self, server: str, secret: str) -> None:
        self._keyring.set_password(_SERVICE, server, secret)

    def remove(self, server: str) -> None:
        if self._keyring.get_password(_SERVICE, server) is not None:
            self._keyring.delete_password(_SERVICE, server)


def system_vault(folder: Path) -> Vault:
    """The safest place this system has. Raises when there is none."""
    if hasattr(sys, "getandroidapilevel"):
        from feexpay_client.core.android_keystore import AndroidVault

        return AndroidVault(folder)
    return KeyringVault()


class TokenStore:
    """Keeps the session of each server. Without a safe place it keeps it in memory, and `lasting` is False:
    the screen says that one has to sign in again next time.
    """

    def __init__(self, make_vault: Callable[[], Vault] | None) -> None:
        self._make_vault = make_vault
        self._vault: Vault | None = None
        self._memory: dict[str, Credentials] = {}
        self.lasting = make_vault is not None

    async def load(self, server: str) -> Credentials | None:
        """The session of that server, or None. One that cannot be read counts as none."""
        if server in self._memory:
            return self._memory[server]
        secret = await self._on_vault(lambda vault: vault.read(server))
        return None if secret is None else _read(secret)

    async def save(self, server: str, credentials: Credentials) -> None:
        self._memory[server] = credentials
        await self._on_vault(lambda vault: vault.write(server, _written(credentials)))

    async def clear(self, server: str) -> None:
        self._memory.pop(server, None)
        await self._on_vault(lambda vault: vault.remove(server))

    async def _on_vault(self, act: Callable[[Vault], T]) -> T | None:
        """In a thread, for three seconds at most. What fails once is not asked again in this run."""
        if not self.lasting:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.to_thread(self._with_vault, act)
        except Exception:  # backends raise errors of any type; none of them may stop a sign-in
            self.lasting = False
            return None

    def _with_vault(self, act: Callable[[Vault], T]) -> T:
        if self._vault is None:
            assert self._make_vault is not None  # noqa: S101 -- `lasting` says so
            self._vault = self._make_vault()
        return act(self._vault)


def _written(credentials: Credentials) -> str:
    ends = None if credentials.expires_at is None else credentials.expires_at.isoformat()
    return json.dumps({"username": credentials.username, "token": credentials.token, "expires_at": ends})


def _read(secret: str) -> Credentials | None:
    try:
        fields = Fields(json.loads(secret), "session")
        expires_at: datetime | None = fields.maybe_instant("expires_at")
        return Credentials(fields.text("username"), fields.text("token"), expires_at)
    except (ValueError, RecursionError, Garbage):
        return None
