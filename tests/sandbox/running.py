"""The sandbox as a process of its own, for any test that needs a FeexPay on a real socket.

with run_sandbox(webhook_url=…) as sandbox:
    settings.FEEXPAY["BASE_URL"] = sandbox.api_url
    …
    sandbox.approve(reference)
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]

API_KEY = "test_sandbox_key"
SHOP_ID = "SANDBOXSHOP0001"

# Delays a hundred times shorter: a payer takes 20 ms, 90 s become 0.9 s.
QUICK = 0.01


@dataclass(slots=True)
class RunningSandbox:
    """One sandbox that accepts connections. `base_url` is its root, `api_url` what `FEEXPAY_BASE_URL` takes."""

    process: subprocess.Popen[str]
    base_url: str
    ready_line: str
    session: requests.Session

    @property
    def api_url(self) -> str:
        return f"{self.base_url}/api"

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.base_url + path, timeout=10, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.base_url + path, timeout=10, **options)

    def payments(self, echo: str | None = None) -> list[dict[str, Any]]:
        """What was collected, newest first; with `echo`, only what carries this `callback_info`."""
        rows: list[dict[str, Any]] = self._listing(echo)["payments"]
        return rows

    def prompts(self, echo: str | None = None) -> int:
        """How often a payer was asked."""
        count: int = self._listing(echo)["prompts"]
        return count

    def charges(self, echo: str | None = None) -> int:
        """How often money was taken from a payer."""
        count: int = self._listing(echo)["charges"]
        return count

    def approve(self, reference: str) -> dict[str, Any]:
        return self._choose(reference, "approve")

    def decline(self, reference: str) -> dict[str, Any]:
        return self._choose(reference, "decline")

    def expire(self, reference: str) -> dict[str, Any]:
        return self._choose(reference, "expire")

    def resend(self, reference: str) -> dict[str, Any]:
        return self._choose(reference, "resend")

    def reset(self) -> None:
        self.post("/control/reset").raise_for_status()

    def stop(self) -> int:
        """Ends it as a supervisor would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)

    def _listing(self, echo: str | None) -> dict[str, Any]:
        answer = self.get("/control/payments", params={} if echo is None else {"echo": echo})
        answer.raise_for_status()
        listing: dict[str, Any] = answer.json()
        return listing

    def _choose(self, reference: str, choice: str) -> dict[str, Any]:
        answer = self.post(f"/control/payments/{reference}/{choice}")
        answer.raise_for_status()
        payment: dict[str, Any] = answer.json()
        return payment


@contextmanager
def run_sandbox(
    *options: str,
    webhook_url: str = "",
    time_scale: float = QUICK,
    state: Path | None = None,
    port: int = 0,
    environment: dict[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "django_feexpay.sandbox"),
) -> Iterator[RunningSandbox]:
    """Promise: inside the block a sandbox accepts connections; afterwards its process is gone.

    `options` are further command-line options. `port` 0 takes a free one.
    """
    command = [sys.executable, *program, f"--port={port}", f"--time-scale={time_scale}"]
    if webhook_url:
        command.append(f"--webhook-url={webhook_url}")
    if state is not None:
        command.append(f"--state={state}")
    process = subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    with process, requests.Session() as session:
        session.trust_env = False
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+(?=/api )", line)
            if found is None:
                raise RuntimeError(f"the sandbox did not start: {line!r}")
            yield RunningSandbox(process, found[0], line.rstrip("\n"), session)
        finally:
            process.kill()
