"""HTTP clients of a soak: for the shop's API, the sandbox's control interface, the shop's webhook address."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import requests

PAYMENTS = "/api/v1/payments/feexpay"

_ANSWER_SECONDS = 30.0
_local = threading.local()


def session() -> requests.Session:
    """One session per thread, which ignores the environment's proxies."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    found: requests.Session = _local.session
    return found


def ask(method: str, url: str, **options: Any) -> requests.Response | None:
    """The answer, or None when there was none.

    A server killed while it sends headers leaves an answer that looks complete, but has no Content-Length.
    """
    try:
        answer = session().request(method, url, timeout=_ANSWER_SECONDS, **options)
    except requests.RequestException:
        return None
    return answer if "Content-Length" in answer.headers else None


def send_and_hang_up(url: str, body: object, headers: dict[str, str]) -> None:
    """Send a whole request and close the connection before the answer."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", parts.path, json.dumps(body), {**headers, "Content-Type": "application/json"})
    except OSError:
        return
    finally:
        connection.close()


def wait_until(is_true: Callable[[], bool], *, seconds: float, every_seconds: float = 0.2) -> bool:
    """Whether it became true in time."""
    give_up_at = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(every_seconds)
    return True


class Sandbox:
    """The sandbox's control interface. While the sandbox is down, lists are empty and calls return False."""

    def __init__(self, url: str) -> None:
        self.url = url

    def payments(self) -> list[dict[str, Any]]:
        answer = ask("GET", f"{self.url}/control/payments")
        rows: list[dict[str, Any]] = [] if answer is None else answer.json()["payments"]
        return rows

    def choose(self, reference: str, choice: str) -> bool:
        return self._post(f"payments/{reference}/{choice}", {})

    def links(self) -> list[dict[str, Any]]:
        answer = ask("GET", f"{self.url}/control/links")
        rows: list[dict[str, Any]] = [] if answer is None else answer.json()["links"]
        return rows

    def pay_link(self, code: str) -> bool:
        return self._post(f"links/{code}/pay", {})

    def call(self, reference: str, name: str, body: Mapping[str, object]) -> bool:
        """Call an action on a payment, such as `reverse`."""
        return self._post(f"payments/{reference}/{name}", body)

    def change(self, **settings: object) -> None:
        """Change fault settings. Raises: RuntimeError when the sandbox refuses them or does not answer."""
        if not self._post("conditions", settings):
            raise RuntimeError(f"the sandbox did not take the settings {', '.join(settings)}")

    def _post(self, path: str, body: Mapping[str, object]) -> bool:
        answer = ask("POST", f"{self.url}/control/{path}", json=body)
        return answer is not None and answer.ok

    def answers(self) -> bool:
        answer = ask("GET", f"{self.url}/control/payments")
        return answer is not None and answer.ok


class Webhooks:
    """Posts webhooks of our own to the shop, with the correct signature or a wrong one."""

    def __init__(self, shop: str, secret: str) -> None:
        self._url = f"{shop}{PAYMENTS}/webhook/"
        self._secret = secret

    def post(self, body: dict[str, Any], *, signed: bool) -> int:
        """The HTTP code of the answer; 0 without an answer."""
        raw = json.dumps(body).encode()
        secret = self._secret if signed else "another secret"
        signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-FeexPay-Signature": signature}
        answer = ask("POST", self._url, data=raw, headers=headers)
        return 0 if answer is None else answer.status_code
