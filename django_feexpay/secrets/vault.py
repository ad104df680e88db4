"""Secrets in Vault's KV store, version 2. Needs the extra `vault` (hvac)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django_feexpay.catalogue.web_addresses import LOOPBACK
from django_feexpay.private import PrivateText, private
from django_feexpay.secrets.source import SecretsError, from_document, guarded

SECONDS = 3.0


class KeyValue:
    """The newest version of one path. `name`: the mount and the path, for example `secret/shop/feexpay`.

    Vault's own variables say where it is and who asks: VAULT_ADDR, VAULT_TOKEN or VAULT_TOKEN_FILE, VAULT_NAMESPACE and
    VAULT_CACERT. The file is read each time, so a token that Vault Agent renews there is used.
    """

    def __init__(self, name: str) -> None:
        self._mount, _, self._path = name.strip("/").partition("/")

    def read(self) -> Mapping[str, str]:
        """The strings at the path. Raises: SecretsError."""
        where = f"{self._mount}/{self._path} of Vault"
        if not self._path:
            raise SecretsError("SECRETS_NAME names no mount and path of Vault, for example secret/shop/feexpay")
        return from_document(guarded(self._document, f"{where} cannot be read"), where)

    def _document(self) -> Any:
        try:
            import hvac
        except ModuleNotFoundError:
            raise SecretsError('hvac is not installed: pip install "django-feexpay[vault]"') from None
        client = hvac.Client(
            url=_address(),
            token=_token(),
            namespace=os.environ.get("VAULT_NAMESPACE") or None,
            verify=os.environ.get("VAULT_CACERT") or True,
            timeout=SECONDS,
        )
        try:
            answer = client.secrets.kv.v2.read_secret_version(
                path=self._path, mount_point=self._mount, raise_on_deleted_version=True
            )
        finally:
            client.adapter.close()
        return private(answer["data"]["data"])


def _address() -> str:
    address = os.environ.get("VAULT_ADDR", "")
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise SecretsError("VAULT_ADDR is not an https address: the token would be sent in clear")
    return address


def _token() -> str:
    if path := os.environ.get("VAULT_TOKEN_FILE"):
        return PrivateText(Path(path).read_text().strip())
    if not (token := PrivateText(os.environ.get("VAULT_TOKEN", ""))):
        raise SecretsError("neither VAULT_TOKEN nor VAULT_TOKEN_FILE is set")
    return token
