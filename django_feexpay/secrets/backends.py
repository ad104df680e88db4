"""The sources by the names that SECRETS_BACKEND may have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from django_feexpay.private import PrivateDict
from django_feexpay.secrets.files import VARIABLES, Files
from django_feexpay.secrets.source import SecretsError, SecretsSource

ENV = "env"
#: Imported when they are used, because each needs an extra.
PATHS: Mapping[str, str] = {
    "aws": "django_feexpay.secrets.aws.SecretsManager",
    "vault": "django_feexpay.secrets.vault.KeyValue",
}


def reader(backend: str, name: str, variables: Iterable[str] = VARIABLES) -> Callable[[], Mapping[str, str]]:
    """A function that reads the files of these variables, and for another backend than `env` that one, too.

    If both have a secret, the backend's is used. The function raises SecretsError.
    """

    def read() -> Mapping[str, str]:
        found = PrivateDict(Files(variables).read())
        if backend != ENV:
            found.update(source(backend, name).read())
        return found

    return read


def source(backend: str, name: str) -> SecretsSource:
    """The source of that name or dotted path, for the secret `name`. Raises: SecretsError."""
    path = PATHS.get(backend, backend)
    module, _, attribute = path.rpartition(".")
    try:
        made: SecretsSource = getattr(import_module(module), attribute)(name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise SecretsError(f"SECRETS_BACKEND {backend!r} is no source of secrets ({type(error).__name__})") from None
    return made
