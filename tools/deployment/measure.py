"""Measure the installation of docs/how-to/deploy.md on the server where it runs: a payment, a restart, kills.

It talks to the shop as payers do: over TLS, through nginx, with the authority of the page.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

HOST = "shop.example"
AUTHORITY = "/etc/shop/tls/authority.pem"
PAYMENTS = "/api/v1/payments/feexpay"
HEALTH = f"{PAYMENTS}/health/"
REQUESTS_PER_SECOND = 100
# The limits that protect a shop from one address would stop the load of one machine.
LIFTED = "FEEXPAY_RATE_LIMIT=100000/min\nFEEXPAY_RATE_LIMITS=anonymous:1000000/min\nFEEXPAY_PROMPTS_PER_PHONE=0\n"
LIFTED += "FEEXPAY_GATEWAY_AT_ONCE=0\nFEEXPAY_GATEWAY_PER_SECOND=0\n"
UNITS = {
    "one gunicorn": "shop-web@1.service",
    "worker": "shop-worker@1.service",
    "nginx": "nginx.service",
    "Redis": "redis-server.service",
    "PostgreSQL": "postgresql@15-main.service",
}
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


@dataclass
class Shop:
    """The shop through nginx. `addresses`: how many addresses of the loopback ask, since nginx limits each."""

    token: str = field(default="", repr=False)
    addresses: int = 40
    pack: dict[str, Any] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: object = None, *, number: int = 0, key: str = "") -> Answer:
        """Send a request to the shop. Raises: OSError or HTTPException without an answer."""
        headers = {"Host": HOST, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        connection = HTTPSConnection(HOST, 443, timeout=30, context=_trusted())
        source = (f"127.0.1.{1 + number % self.addresses}", 0)
        try:
            plain = socket.create_connection(("127.0.0.1", 443), 30, source_address=source)
            connection.sock = _trusted().wrap_socket(plain, server_hostname=HOST)
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        return Answer(response.status, json.loads(raw) if "json" in response.headers.get("Content-Type", "") else None)

    def healthy(self) -> bool:
        try:
            return self.ask("GET", HEALTH).status == 200
        except (OSError, HTTPException):
            return False

    def start_payment(self, number: int) -> Answer:
        """A payment whose payer approves after two seconds; each number has its own phone."""
        body = {"provider": "mtn_bj", "phone": f"0196{number:04}00", **self.pack}
        return self.ask("POST", f"{PAYMENTS}/initiate/", body, number=number, key=secrets.token_hex(16))

    def credited(self, payment: str) -> bool:
        return bool(self.ask("GET", f"{PAYMENTS}/{payment}/status/").body["detail"] == "credited")


class Load:
    """A fixed number of requests each second, whatever the answers take; every tenth starts a payment."""

    def __init__(self, shop: Shop, per_second: int = REQUESTS_PER_SECOND) -> None:
        self._shop, self._per_second = shop, per_second
        self._stop, self._lock = threading.Event(), threading.Lock()
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0
        self.payments: list[str] = []

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()

    def __str__(self) -> str:
        counts = ", ".join(f"{count} x {name}" for name, count in self.answers.most_common())
        return f"{self.failed} of {self.answers.total()} requests failed ({counts}), slowest {self.slowest:.1f} s"

    @property
    def failed(self) -> int:
        return sum(count for name, count in self.answers.items() if not name.startswith("2"))

    def _run(self) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(96) as pool:
            number = 0
            while not self._stop.is_set():
                pool.submit(self._one, number)
                number += 1
                time.sleep(max(0.0, began + number / self._per_second - time.monotonic()))

    def _one(self, number: int) -> None:
        began = time.monotonic()
        payment = None
        try:
            if number % 10 == 0:
                answer = self._shop.start_payment(next(_phones))
                payment = answer.body["id"] if answer.status in (201, 202) else None
            else:
                answer = self._shop.ask("GET", "/api/v1/shop/packs/", number=number)
            name = str(answer.status)
            if answer.status >= 400 and answer.body:
                name += f" {answer.body.get('code')}"
        except (OSError, HTTPException) as error:
            name = type(error).__name__
        with self._lock:
            self.answers[name] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            if payment:
                self.payments.append(payment)


def main() -> int:
    shop = prepare()
    one_payment(shop)
    failed = rolling_restart(shop)
    for name, unit in UNITS.items():
        kill(shop, name, unit)
    failed += deployment(shop)
    broken_release(shop)
    doubled = charges_and_credits()
    print(f"deployment failed_requests={failed} charges_without_one_credit={doubled}")
    return 1 if failed or doubled else 0


def prepare() -> Shop:
    """Lift the limits, restart everything, create a player and sign in."""
    with open("/etc/shop/shop.env", "a") as settings:
        settings.write(LIFTED)
    run("systemctl", "restart", "shop-web@1", "shop-web@2", "shop-worker@1")
    run("shop-manage", "feexpay_demo_user", "player", "a-password-of-staging")
    shop = Shop()
    answer = shop.ask("POST", "/api/v1/auth/token/", {"username": "player", "password": "a-password-of-staging"})
    shop.token = answer.body["token"]
    pack = shop.ask("GET", "/api/v1/shop/packs/").body[0]
    shop.pack = {"amount": pack["price"], "metadata": pack["metadata"]}
    return shop


def one_payment(shop: Shop) -> None:
    began = time.monotonic()
    payment = shop.start_payment(next(_phones)).body["id"]
    seconds = wait(lambda: shop.credited(payment), began)
    print(f"a payment through nginx over TLS: credited after {seconds:.1f} s; the payer took 2 s", flush=True)


def rolling_restart(shop: Shop) -> int:
    """Restart all processes of the release one after the other, under load: the number of failed requests."""
    with Load(shop) as load:
        time.sleep(3)
        began = time.monotonic()
        for unit in ("shop-web@1", "shop-web@2", "shop-worker@1"):
            run("systemctl", "restart", unit)
        seconds = time.monotonic() - began
        time.sleep(3)
    print(f"a rolling restart under {REQUESTS_PER_SECOND} requests/s, {seconds:.0f} s: {load}", flush=True)
    print(f"  {len(load.payments)} payments started meanwhile", flush=True)
    return load.failed


def deployment(shop: Shop) -> int:
    """`deploy.sh` under a small load, since installing a release takes a core of its own."""
    with Load(shop, per_second=20) as load:
        began = time.monotonic()
        run("deploy.sh", "/root/shop")
        seconds = time.monotonic() - began
    print(f"deploy.sh under 20 requests/s, {seconds:.0f} s: {load}", flush=True)
    return load.failed


def charges_and_credits() -> int:
    """The charges of the sandbox against the credits of the shop, after all payments have settled."""
    code = "from django_feexpay.models import Credit; print(Credit.objects.count())"
    charges, credited = -1, -2
    give_up_at = time.monotonic() + _TIMEOUT
    while charges != credited and time.monotonic() < give_up_at:
        connection = HTTPConnection("127.0.0.1", 8801, timeout=10)
        connection.request("GET", "/control/payments")
        charges = json.loads(connection.getresponse().read())["charges"]
        connection.close()
        credited = int(run("shop-manage", "shell", "--verbosity", "0", "--command", code).split()[-1])
    print(f"charges at the sandbox {charges}, credits in the shop {credited}", flush=True)
    return abs(charges - credited)


def kill(shop: Shop, name: str, unit: str) -> None:
    """kill -9 under a small load, until systemd has started it again and the shop answers; then a payment."""
    before = run("systemctl", "show", "--property=MainPID", unit)
    with Load(shop, per_second=20) as load:
        time.sleep(1)
        began = time.monotonic()
        run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit)
        seconds = wait(lambda: _active(unit, before) and shop.healthy(), began)
        answer = shop.start_payment(next(_phones))
        payment = answer.body.get("id", "")
        credited = wait(lambda: shop.credited(payment), began)
        time.sleep(1)
    print(
        f"kill -9 of {name}: back after {seconds:.1f} s; {load}; a payment made then was credited"
        f" {credited:.1f} s after the kill",
        flush=True,
    )


def broken_release(shop: Shop) -> None:
    """A release that cannot start: deploy.sh must leave the earlier one serving."""
    copy = "mkdir /root/broken && tar -C /root/shop -c --exclude=.git --exclude='.venv*' . | tar -x -C /root/broken"
    run("bash", "-c", copy)
    with open("/root/broken/sample_project/config/wsgi.py", "a") as file:
        file.write("\nraise RuntimeError('this release cannot start')\n")
    with Load(shop) as load:
        done = subprocess.run(
            ["/usr/local/sbin/deploy.sh", "/root/broken"], capture_output=True, text=True, check=False
        )
    print(f"a release that cannot start: deploy.sh ended with {done.returncode}; {load}")
    print("  " + "\n  ".join(done.stdout.strip().splitlines()[-2:]), flush=True)


def wait(until: Callable[[], bool], began: float, seconds: float = _TIMEOUT) -> float:
    """Wait until it is true; return how many seconds after `began` that was.

    Raises: RuntimeError after `seconds` more.
    """
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        try:
            if until():
                return time.monotonic() - began
        except (OSError, HTTPException, TypeError, KeyError):
            pass  # the shop is away for a moment, which is what is measured
        time.sleep(0.05)
    raise RuntimeError(f"it did not come back within {seconds:.0f} s")


def _active(unit: str, before: str) -> bool:
    now = run("systemctl", "show", "--property=MainPID", unit)
    state = run("systemctl", "show", "--property=ActiveState", unit)
    return state == "ActiveState=active" and now not in (before, "MainPID=0")


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=AUTHORITY)


_phones = iter(range(10_000))


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
