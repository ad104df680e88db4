"""Store tokens between two starts: in the system's keyring, Android's keystore, or memory.

Never in a plain file. Tokens are neither logged nor shown.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from feexpay_client.core.errors import MalformedAnswer
from feexpay_client.core.json_reader import Fields
from feexpay_client.core.models import Credentials

T = TypeVar("T")

_SERVICE = "feexpay-client"
#: A keyring may wait for the user, or its daemon may hang.
_TIMEOUT_SECONDS = 3.0


class Vault(Protocol):
    """Storage of one secret per server. Blocking. Any exception means that it is not available."""

    def read(self, server: str) -> str | None: ...
    def write(self, server: str, secret: str) -> None: ...
    def remove(self, server: str) -> None: ...


class KeyringVault:
    """The desktop's keyring: Secret Service, Keychain or Credential Locker."""

    def __init__(self) -> None:
        import keyring  # an extra: without it tokens stay in memory
        from keyring.backends import fail

        backend = keyring.get_keyring()
        # keyrings.alt stores plain files.
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
    """The secure storage of this system. Raises if there is none."""
    if hasattr(sys, "getandroidapilevel"):
        from feexpay_client.core.android_keystore import AndroidVault

        return AndroidVault(folder)
    return KeyringVault()


class TokenStore:
    """The token of each server.

    persistent: False if there is no secure storage. Tokens then stay in memory, and the screen says that the payer must
    sign in again at the next start.
    """

    def __init__(self, make_vault: Callable[[], Vault] | None) -> None:
        self._make_vault = make_vault
        self._vault: Vault | None = None
        self._memory: dict[str, Credentials] = {}
        self.persistent = make_vault is not None

    async def load(self, server: str) -> Credentials | None:
        """The credentials for that server; None if there are none or they cannot be read."""
        if server in self._memory:
            return self._memory[server]
        secret = await self._use_vault(lambda vault: vault.read(server))
        return None if secret is None else _read(secret)

    async def save(self, server: str, credentials: Credentials) -> None:
        self._memory[server] = credentials
        await self._use_vault(lambda vault: vault.write(server, _written(credentials)))

    async def clear(self, server: str) -> None:
        self._memory.pop(server, None)
        await self._use_vault(lambda vault: vault.remove(server))

    async def _use_vault(self, act: Callable[[Vault], T]) -> T | None:
        """Use the vault in a thread, with a timeout. After one failure it is not used again in this run."""
        if not self.persistent:
            return None
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await asyncio.to_thread(self._with_vault, act)
        except Exception:  # backends raise errors of any type; none of them may stop a sign-in
            self.persistent = False
            return None

    def _with_vault(self, act: Callable[[Vault], T]) -> T:
        if self._vault is None:
            assert self._make_vault is not None  # noqa: S101 -- `persistent` says so
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
    except (ValueError, RecursionError, MalformedAnswer):
        return None
