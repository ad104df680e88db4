"""Secrets in AWS Secrets Manager: one secret whose text is a JSON object. Needs the extra `aws` (boto3)."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django_feexpay.private import PrivateText
from django_feexpay.secrets.source import SecretsError, from_json, guarded

CONNECT_SECONDS, READ_SECONDS, TRIES = 2.0, 3.0, 2


class SecretsManager:
    """The current version of one secret. `name`: its name or its ARN.

    The credentials and the region are found as boto3 always finds them: a role, the environment, a profile.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self) -> Mapping[str, str]:
        """The strings of the secret. Raises: SecretsError."""
        if not self._name:
            raise SecretsError("SECRETS_NAME names no secret of AWS Secrets Manager")
        where = f"The secret {self._name} of AWS Secrets Manager"
        with _without_debug_records():
            return from_json(guarded(self._text, f"{where} cannot be read", _reason), where)

    def _text(self) -> str:
        try:
            import boto3
            import botocore.config
        except ModuleNotFoundError:
            raise SecretsError('boto3 is not installed: pip install "django-feexpay[aws]"') from None
        config = botocore.config.Config(
            connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": TRIES}
        )
        # A new client each time: it is asked every few minutes, and a client must not be shared by forked processes.
        client = boto3.session.Session(region_name=self._region()).client("secretsmanager", config=config)
        return PrivateText(client.get_secret_value(SecretId=self._name)["SecretString"])

    def _region(self) -> str | None:
        """The region of an ARN, else AWS_REGION, which boto3 does not read; None: boto3 decides."""
        parts = self._name.split(":")
        return parts[3] if parts[0] == "arn" and len(parts) > 3 else os.environ.get("AWS_REGION")


def _reason(error: Exception) -> str:
    """AWS's code, such as AccessDeniedException."""
    answer: Mapping[str, Any] = getattr(error, "response", {})
    return str(answer.get("Error", {}).get("Code", ""))


# --- boto3's log --------------------------------------------------------------------------------------

_reading = threading.local()


class _NotWhileReading(logging.Filter):
    """Drops records while a secret is read: at DEBUG botocore logs whole replies, and session tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_reading, "now", False)


for _name in ("auth", "endpoint", "hooks", "parsers", "httpsession", "client", "retries.standard", "credentials"):
    logging.getLogger(f"botocore.{_name}").addFilter(_NotWhileReading())


@contextmanager
def _without_debug_records() -> Iterator[None]:
    _reading.now = True
    try:
        yield
    finally:
        _reading.now = False
