"""The interface of a source of secrets, and what all sources share.

Everywhere a secret has the name of its environment variable, for example `FEEXPAY_API_KEY`: in an environment file, as
the name of a systemd credential, and as a name in the JSON document of AWS Secrets Manager or of Vault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from django_feexpay.private import PrivateDict, PrivateText, private

PREFIX = "FEEXPAY_"
#: The settings that a source may hold.
NAMES = (
    *("API_KEY", "SHOP_ID", "PROXY", "WEBHOOK_SECRETS", "FIELD_KEYS", "HASH_KEY", "AUDIT_KEYS", "RATES_URL"),
    *("MONITOR_TOKEN", "ALERT_URLS"),
)

Value = TypeVar("Value")


class SecretsError(Exception):
    """A source did not give the secrets. The message is for operators and holds none of them."""


class SecretsSource(Protocol):
    """A place where secrets are kept. A host may write its own and name its dotted path in SECRETS_BACKEND."""

    def read(self) -> Mapping[str, str]:
        """All secrets, by the name of their environment variable. Called from any thread; it must end within seconds.

        Raises: SecretsError.
        """
        ...


def from_document(document: object, where: str) -> dict[str, str]:
    """The strings of a JSON object. A list, for example of FIELD_KEYS, becomes one string with commas.

    Raises: SecretsError.
    """
    if not isinstance(document, Mapping):
        raise SecretsError(f"{where} is not an object of names and values")
    found = PrivateDict()
    for name, value in private(dict(document)).items():
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, str) for part in parts):
            raise SecretsError(f"{where}: {name} is neither a text nor a list of texts")
        found[str(name)] = PrivateText(",".join(parts))
    return found


def from_json(text: str, where: str) -> dict[str, str]:
    """`from_document` of a JSON text. Raises: SecretsError."""
    return from_document(guarded(lambda: private(json.loads(text)), f"{where} is not JSON"), where)


def guarded(read: Callable[[], Value], problem: str, reason: Callable[[Exception], str] = lambda error: "") -> Value:
    """What `read` returns. Raises: SecretsError with `problem` and `reason`, else the type, of the exception.

    It is raised outside the handler, because the frames of the original exception hold secrets and tokens.
    """
    try:
        return read()
    except SecretsError:
        raise
    except Exception as error:  # each library raises its own
        why = reason(error) or type(error).__name__
    raise SecretsError(f"{problem} ({why})")
