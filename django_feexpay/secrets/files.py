"""Secrets in files: `FEEXPAY_API_KEY_FILE=/run/secrets/key` and the credentials of systemd.

Docker and Kubernetes mount secrets as files; Kubernetes replaces them when they change. systemd writes the files of
`LoadCredential=FEEXPAY_API_KEY:…` into `$CREDENTIALS_DIRECTORY` when it starts the service, and never again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from django_feexpay.private import PrivateBytes, PrivateDict, PrivateText
from django_feexpay.secrets.source import NAMES, PREFIX, SecretsError, guarded

LARGEST_BYTES = 64 * 1024
VARIABLES = tuple(f"{PREFIX}{name}" for name in NAMES)


class Files:
    """The secrets that the environment names files for. `NAME_FILE` wins over a credential of systemd."""

    def __init__(self, variables: Iterable[str] = VARIABLES, environ: Mapping[str, str] = os.environ) -> None:
        self._variables, self._environ = tuple(variables), environ

    def read(self) -> Mapping[str, str]:
        """The content of each file. Raises: SecretsError for a file that cannot be read or is empty."""
        found = PrivateDict()
        for variable in self._variables:
            if path := self._path(variable):
                found[variable] = _content(path, variable)
        return found

    def _path(self, variable: str) -> Path | None:
        if named := self._environ.get(f"{variable}_FILE", ""):
            return Path(named)
        directory = self._environ.get("CREDENTIALS_DIRECTORY", "")
        credential = Path(directory, variable)
        return credential if directory and credential.is_file() else None


def _content(path: Path, variable: str) -> str:
    """The text of a file without white space around it, so that an editor's last line break does no harm."""
    text = PrivateText(guarded(lambda: _read(path), f"The file {path} of {variable} cannot be read").strip())
    if not text:
        raise SecretsError(f"The file {path} of {variable} is empty")
    return text


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = PrivateBytes(file.read(LARGEST_BYTES + 1))
    if len(content) > LARGEST_BYTES:
        raise SecretsError(f"The file {path} is too large for a secret")
    return content.decode()
