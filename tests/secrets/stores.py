"""Stores of secrets on this machine: files, moto's Secrets Manager over HTTP, and a stand-in of Vault's KV store."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

TOKEN = "hvs.canary-of-the-token"


class Store(Protocol):
    """Where a test puts secrets. `environment`: what the process needs to find them; `settings`: what FEEXPAY says."""

    environment: Mapping[str, str]
    settings: Mapping[str, str]

    def put(self, **secrets: Any) -> None:
        """Replace all secrets."""

    def spoil(self) -> None:
        """Make what is stored unreadable as secrets."""

    def remove(self) -> None:
        """Remove the secrets, but not the store."""


class FileStore:
    settings: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = ("FEEXPAY_API_KEY", "FEEXPAY_FIELD_KEYS", "FEEXPAY_WEBHOOK_SECRETS")
        self.environment: dict[str, str] = {f"{name}_FILE": str(folder / name) for name in names}
        self._names = names

    def put(self, **secrets: Any) -> None:
        for name in self._names:
            value = secrets.get(name, "unused")
            text = ",".join(value) if isinstance(value, list) else value
            (self._folder / f"{name}.new").write_text(f"{text}\n")
            (self._folder / f"{name}.new").replace(self._folder / name)  # as Kubernetes does: never half a file

    def spoil(self) -> None:
        (self._folder / "FEEXPAY_API_KEY").write_bytes(b"\xff\xfe canary-of-the-file")

    def remove(self) -> None:
        (self._folder / "FEEXPAY_API_KEY").unlink(missing_ok=True)


class AwsStore:
    NAME = "shop/feexpay"
    settings: Mapping[str, str] = {"SECRETS_BACKEND": "aws", "SECRETS_NAME": NAME}

    def __init__(self, address: str) -> None:
        import boto3

        self.environment = {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "canary-of-the-aws-key",
            "AWS_SESSION_TOKEN": "canary-of-the-session",
            "AWS_REGION": "eu-west-3",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._client = boto3.client(
            "secretsmanager",
            endpoint_url=address,
            region_name="eu-west-3",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def put(self, **secrets: Any) -> None:
        self._write(json.dumps(secrets))

    def spoil(self) -> None:
        self._write("canary-of-the-document, no JSON")

    def remove(self) -> None:
        if self._exists():
            self._client.delete_secret(SecretId=self.NAME, ForceDeleteWithoutRecovery=True)

    def _write(self, text: str) -> None:
        if self._exists():
            self._client.put_secret_value(SecretId=self.NAME, SecretString=text)
        else:
            self._client.create_secret(Name=self.NAME, SecretString=text)

    def _exists(self) -> bool:
        return any(each["Name"] == self.NAME for each in self._client.list_secrets()["SecretList"])


class VaultStore:
    """`GET /v1/secret/data/shop/feexpay` as Vault answers it. `reads` counts the requests."""

    settings: Mapping[str, str] = {"SECRETS_BACKEND": "vault", "SECRETS_NAME": "secret/shop/feexpay"}

    def __init__(self, address: str) -> None:
        self.environment = {"VAULT_ADDR": address, "VAULT_TOKEN": TOKEN, "VAULT_NAMESPACE": "shops"}
        self.document: object = None
        self.reads = 0
        self.is_sealed = False
        self._versions = 0

    def put(self, **secrets: Any) -> None:
        self.document = secrets
        self._versions += 1

    def spoil(self) -> None:
        self.document = {"FEEXPAY_API_KEY": {"nested": "canary-of-the-document"}}

    def remove(self) -> None:
        self.document = None

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, object]:
        """The status and body that Vault documents for this request."""
        self.reads += 1
        if self.is_sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if headers.get("X-Vault-Token") != TOKEN or headers.get("X-Vault-Namespace") != "shops":
            return 403, {"errors": ["permission denied"]}
        if path != "/v1/secret/data/shop/feexpay" or self.document is None:
            return 404, {"errors": []}
        metadata = {"version": self._versions, "deletion_time": "", "destroyed": False}
        return 200, {"request_id": "1", "data": {"data": self.document, "metadata": metadata}, "warnings": None}


@contextmanager
def run_vault() -> Iterator[VaultStore]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = store.answer(self.path, self.headers)  # type: ignore[arg-type]  # a mapping of headers
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store = VaultStore(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
