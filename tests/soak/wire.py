"""HTTP of a soak: the shop as a player's app sees it, the sandbox as its payers do."""

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
    """One a thread, blind to the environment's proxies."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    found: requests.Session = _local.session
    return found


def ask(method: str, url: str, **options: Any) -> requests.Response | None:
    """The answer, or None when nobody gave one.

    Who is killed in the middle of his headers leaves an answer that reads like a whole one, without a length.
    """
    try:
        answer = session().request(method, url, timeout=_ANSWER_SECONDS, **options)
    except requests.RequestException:
        return None
    return answer if "Content-Length" in answer.headers else None


def send_and_hang_up(url: str, body: object, headers: dict[str, str]) -> None:
    """A whole request from somebody who does not wait for the answer."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", parts.path, json.dumps(body), {**headers, "Content-Type": "application/json"})
    except OSError:
        return
    finally:
        connection.close()


def wait_until(look: Callable[[], bool], *, seconds: float, every_seconds: float = 0.2) -> bool:
    """Whether it came true in that time."""
    give_up_at = time.monotonic() + seconds
    while not look():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(every_seconds)
    return True


class Sandbox:
    """Its control interface. While it is down it knows nothing."""

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
        """One of the calls about a payment, as `reverse`."""
        return self._post(f"payments/{reference}/{name}", body)

    def change(self, **conditions: object) -> None:
        """Set conditions. Raises: RuntimeError if the sandbox refuses them, or does not answer."""
        if not self._post("conditions", conditions):
            raise RuntimeError(f"the sandbox did not take the conditions {', '.join(conditions)}")

    def _post(self, path: str, body: Mapping[str, object]) -> bool:
        answer = ask("POST", f"{self.url}/control/{path}", json=body)
        return answer is not None and answer.ok

    def answers(self) -> bool:
        answer = ask("GET", f"{self.url}/control/payments")
        return answer is not None and answer.ok


class Webhooks:
    """Deliveries of our own making, with the sandbox's signature or with a wrong one."""

    def __init__(self, shop: str, secret: str) -> None:
        self._url = f"{shop}{PAYMENTS}/webhook/"
        self._secret = secret

    def post(self, body: dict[str, Any], *, signed: bool) -> int:
        """The shop's code; 0 when it gave none."""
        raw = json.dumps(body).encode()
        secret = self._secret if signed else "somebody else's secret"
        signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-FeexPay-Signature": signature}
        answer = ask("POST", self._url, data=raw, headers=headers)
        return 0 if answer is None else answer.status_code
